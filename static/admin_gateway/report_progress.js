// The page of a file: asks how far it is, and loads itself again when the file is made.
"use strict";

(() => {
  const EVERY_MS = 2000;
  const box = document.getElementById("report-progress");
  const [state, text, bar] = ["state", "text", "bar"].map((id) => document.getElementById(`report-${id}`));

  function show(progress) {
    state.textContent = progress.title;
    if (text.textContent !== progress.text) {
      text.textContent = progress.text;
    }
    if (progress.share === null) {
      bar.removeAttribute("value");
    } else {
      bar.value = progress.share;
    }
  }

  async function look() {
    try {
      const answer = await fetch(box.dataset.url, { headers: { accept: "application/json" } });
      if (answer.ok) {
        const progress = await answer.json();
        show(progress);
        if (progress.has_ended) {
          location.reload();
          return;
        }
      }
    } catch {
      // The server may be restarting; the next look may get through.
    }
    setTimeout(look, EVERY_MS);
  }

  if (box && !("ended" in box.dataset)) {
    setTimeout(look, EVERY_MS);
  }
})();
