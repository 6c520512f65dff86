// Names and roles that screen readers need and Django's widgets leave out. Their scripts build them when the
// page has loaded, and again when a row is added to a form.
(() => {
  const nameOf = (field) => {
    const label = field.id ? document.querySelector(`label[for="${CSS.escape(field.id)}"]`) : null;
    return field.getAttribute("aria-label") || (label ? label.textContent.replace(/[:*\s]+$/, "").trim() : "");
  };

  const complete = () => {
    for (const field of document.querySelectorAll("select.select2-hidden-accessible")) {
      const box = field.nextElementSibling;
      const name = nameOf(field);
      for (const part of box && name ? box.querySelectorAll("[role=combobox], [role=textbox]") : []) {
        part.setAttribute("aria-label", name);
      }
    }
    for (const hint of document.querySelectorAll(".help-tooltip[aria-label]:not([role])")) {
      hint.setAttribute("role", "img");
    }
  };

  window.addEventListener("load", () => setTimeout(complete, 0));
  document.addEventListener("formset:added", () => setTimeout(complete, 0));
})();
