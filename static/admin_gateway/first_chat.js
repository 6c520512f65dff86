// The wizard's first chat: calls the API from the page and shows the answer as it streams.
"use strict";

const form = document.getElementById("first-chat");

function message(body, status) {
  return body && body.error && body.error.message ? body.error.message : `The API answered ${status}.`;
}

function show(answer, error) {
  document.getElementById("chat-result").hidden = false;
  document.getElementById("chat-answer").textContent = answer;
  document.getElementById("chat-error").textContent = error;
}

// Calls `take` with the JSON of each event of a stream.
async function readEvents(body, take) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) {
      return;
    }
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) {
      const data = line.startsWith("data:") ? line.slice(5).trim() : "";
      if (data && data !== "[DONE]") {
        take(JSON.parse(data));
      }
    }
  }
}

async function ask(fields) {
  const response = await fetch(form.dataset.api, {
    method: "POST",
    credentials: "omit",
    headers: { authorization: `Bearer ${fields.get("key")}`, "content-type": "application/json" },
    body: JSON.stringify({
      model: fields.get("model"),
      messages: [{ role: "user", content: fields.get("prompt") }],
      stream: true,
    }),
  });
  if (!response.ok) {
    show("", message(await response.json().catch(() => null), response.status));
    return;
  }
  let answer = "";
  let error = "";
  await readEvents(response.body, (event) => {
    error = event.error ? message(event, response.status) : error;
    const choice = event.choices && event.choices[0];
    answer += (choice && choice.delta && choice.delta.content) || "";
    show(answer, error);
  });
}

if (form) {
  const button = form.querySelector("button[type=submit]");
  form.addEventListener("submit", async (event) => {
    const fields = new FormData(form);
    if (!fields.get("key") || !fields.get("prompt")) {
      // The server names the field that is empty.
      return;
    }
    event.preventDefault();
    button.setAttribute("aria-busy", "true");
    show("", "");
    try {
      await ask(fields);
    } catch {
      show("", "The connection to the API failed. Is the key complete?");
    } finally {
      button.removeAttribute("aria-busy");
    }
  });
}
