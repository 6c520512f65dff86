// Copies the text of the element that a button's data-copy names, and says so on the button.
"use strict";

async function copyText(source) {
  const text = "value" in source ? source.value : source.textContent;
  if (navigator.clipboard && window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return;
  }
  // Over plain HTTP browsers have no clipboard object; the selection still can be copied.
  const selection = window.getSelection();
  selection.removeAllRanges();
  if ("select" in source) {
    source.select();
  } else {
    selection.selectAllChildren(source);
  }
  if (!document.execCommand("copy")) {
    throw new Error("the browser refused");
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) {
    return;
  }
  const label = button.dataset.label || button.textContent;
  button.dataset.label = label;
  try {
    await copyText(document.getElementById(button.dataset.copy));
    button.textContent = "Copied";
  } catch {
    button.textContent = "Select and copy it by hand";
  }
  window.setTimeout(() => { button.textContent = label; }, 3000);
});
