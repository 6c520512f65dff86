// The page that tests upstreams: asks the server for one after the other, some at a time, and shows each result.
"use strict";

(() => {
  const MODELS_CALLED = 20;
  const form = document.getElementById("trials");
  const bar = document.getElementById("trials-bar");
  const text = document.getElementById("trials-text");
  const stop = document.getElementById("trials-stop");
  const boxes = [...document.querySelectorAll("#trials-list article")];
  const COLOURS = { ok: "ok", failed: "failed", "not asked": "maintenance", testing: "warning" };
  let run = null;

  const part = (box, name) => box.querySelector(`[data-part=${name}]`);

  function mark(box, state, words) {
    const badge = part(box, "state");
    badge.textContent = state;
    badge.className = `gw-badge${COLOURS[state] ? ` gw-badge-${COLOURS[state]}` : ""}`;
    part(box, "text").textContent = words;
  }

  function line(box, words) {
    const item = document.createElement("li");
    item.textContent = words;
    part(box, "models").append(item);
  }

  const shown = (ms) => (ms === null ? "" : `${ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`);

  async function ask(box, signal) {
    const answer = await fetch(box.dataset.url, {
      method: "POST",
      headers: { accept: "application/json", "x-csrftoken": form.elements.csrfmiddlewaretoken.value },
      signal,
    });
    if (!answer.ok) {
      throw new Error(`The gateway answered ${answer.status}.`);
    }
    return answer.json();
  }

  function tellModels(box, models) {
    const listed = models.filter((one) => one.state === "listed").length;
    if (listed) {
      line(box, `${listed} model${listed === 1 ? "" : "s"} listed`);
    }
    for (const one of models.filter((each) => each.state === "missing")) {
      line(box, `${one.model}: the upstream does not list it`);
    }
  }

  async function call(model, key, signal) {
    const isEmbedding = model.mode === "embedding";
    const content = isEmbedding
      ? { input: "Hi" }
      : model.mode === "completion"
        ? { prompt: "Hi", max_tokens: 1 }
        : { messages: [{ role: "user", content: "Hi" }], max_tokens: 16 };
    const path = isEmbedding ? "embeddings" : model.mode === "completion" ? "completions" : "chat/completions";
    const started = performance.now();
    const answer = await fetch(`/v1/${path}`, {
      method: "POST",
      credentials: "omit",
      headers: { authorization: `Bearer ${key}`, "content-type": "application/json" },
      body: JSON.stringify({ model: model.model, ...content }),
      signal,
    });
    const body = await answer.json().catch(() => null);
    const elapsed = shown(performance.now() - started);
    const error = (body && body.error && body.error.message) || "";
    const failure = `failed (${answer.status}) after ${elapsed}${error ? `: ${error}` : ""}`;
    return { isOk: answer.ok, words: `${model.model}: ${answer.ok ? `ok, ${elapsed}` : failure}` };
  }

  // How many of the models failed.
  async function callModels(box, models, key, signal) {
    const callable = models.filter((one) => one.mode !== "other");
    let failed = 0;
    for (const model of callable.slice(0, MODELS_CALLED)) {
      const told = await call(model, key, signal);
      line(box, told.words);
      failed += told.isOk ? 0 : 1;
    }
    if (callable.length > MODELS_CALLED) {
      line(box, `${callable.length - MODELS_CALLED} more models were not called`);
    }
    return failed;
  }

  async function test(box, key, counts, signal) {
    mark(box, "testing", "");
    part(box, "models").replaceChildren();
    try {
      const found = await ask(box, signal);
      mark(box, found.state, [shown(found.latency_ms), found.error].filter(Boolean).join(", "));
      tellModels(box, found.models);
      let { state } = found;
      const failed = key && state === "ok" ? await callModels(box, found.models, key, signal) : 0;
      if (failed) {
        state = "failed";
        mark(box, state, `It answers, but ${failed} of its models failed.`);
      }
      counts[state] = (counts[state] || 0) + 1;
    } catch (error) {
      if (signal.aborted) {
        mark(box, "stopped", "");
        return;
      }
      mark(box, "failed", error.message || "The gateway could not be reached.");
      counts.failed = (counts.failed || 0) + 1;
    }
  }

  function tell(counts, done, ending) {
    bar.value = done;
    const sums = Object.entries(counts).map(([state, count]) => `${count} ${state}`);
    text.textContent = `${done} of ${boxes.length} tested${sums.length ? `: ${sums.join(", ")}` : ""}.${ending}`;
  }

  async function start(key) {
    run = new AbortController();
    const { signal } = run;
    const counts = {};
    const waiting = [...boxes];
    let done = 0;
    boxes.forEach((box) => mark(box, "waiting", ""));
    tell(counts, 0, "");
    const work = async () => {
      while (waiting.length && !signal.aborted) {
        await test(waiting.shift(), key, counts, signal);
        if (!signal.aborted) {
          done += 1;
          tell(counts, done, "");
        }
      }
    };
    await Promise.all(Array.from({ length: Number(form.dataset.atOnce) }, work));
    tell(counts, done, signal.aborted ? " Stopped." : " Done.");
    run = null;
  }

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (run || !boxes.length) {
      return;
    }
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    stop.hidden = false;
    await start(document.getElementById("trials-key").value.trim());
    stop.hidden = true;
    button.disabled = false;
    button.focus();
  });
  stop.addEventListener("click", () => run && run.abort());
})();
