// Shows of a new tool's form the part that belongs to the chosen kind, and those in which something is wrong.
"use strict";

function start() {
  const kind = document.getElementById("id_kind");
  if (!kind || !kind.dataset.parts) {
    return;
  }
  const parts = Object.entries(JSON.parse(kind.dataset.parts));
  const show = () => {
    for (const [name, field] of parts) {
      const part = document.getElementById(field)?.closest("fieldset");
      if (part) {
        const isWrong = part.querySelector(".errorlist, [aria-invalid=true]") !== null;
        part.hidden = kind.value !== name && kind.value !== "" && !isWrong;
      }
    }
  };
  kind.addEventListener("change", show);
  show();
}

document.addEventListener("DOMContentLoaded", start);
