// The form of a report: shows days where they matter, and what the server says of the query as it is filled in.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  const WAIT_MS = 400;
  const period = document.getElementById("id_period");
  if (!period || !period.form) {
    return;
  }
  const form = period.form;
  const days = ["id_first_day", "id_last_day"].map((id) => document.getElementById(id)).filter(Boolean);
  let status = document.getElementById("report-check");
  if (!status) {
    status = document.createElement("p");
    status.id = "report-check";
    status.setAttribute("role", "status");
    (period.closest("fieldset") || period.parentElement).append(status);
  }
  const url = form.dataset.check || "/admin/usage_app/report/check/";
  let timer = null;
  let asked = 0;

  function showDays() {
    for (const day of days) {
      day.disabled = period.value !== "fixed";
    }
  }

  function show(answer) {
    const wrong = Object.entries(answer.errors).map(([name, text]) => (name ? `${name}: ${text}` : text));
    status.textContent = wrong.length ? wrong.join(" ") : answer.summary;
    status.toggleAttribute("data-is-wrong", wrong.length > 0);
  }

  async function check() {
    asked += 1;
    const mine = asked;
    try {
      const answer = await fetch(url, { method: "POST", body: new FormData(form) });
      if (answer.ok && mine === asked) {
        show(await answer.json());
      }
    } catch {
      status.textContent = "";
    }
  }

  function checkSoon() {
    showDays();
    clearTimeout(timer);
    timer = setTimeout(check, WAIT_MS);
  }

  showDays();
  form.addEventListener("input", checkSoon);
  form.addEventListener("change", checkSoon);
});
