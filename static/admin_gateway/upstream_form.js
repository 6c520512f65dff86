// Proposes the usual address of the chosen kind of upstream, shows the options that it has, and says what its
// credential is.
"use strict";

function start() {
  const kind = document.getElementById("id_kind");
  const url = document.getElementById("id_base_url");
  const prefix = document.getElementById("id_path_prefix");
  if (!kind || !url || !prefix) {
    return;
  }
  const kinds = JSON.parse(kind.dataset.kinds);
  const usual = (key) => Object.values(kinds).map((item) => item[key]);
  const propose = () => {
    const chosen = kinds[kind.value];
    if (!chosen) {
      return;
    }
    // What a person typed stays; only another kind's usual value is replaced.
    if (url.value === "" || usual("url").includes(url.value)) {
      url.value = chosen.url;
    }
    if (usual("prefix").includes(prefix.value)) {
      prefix.value = chosen.prefix;
    }
    url.placeholder = chosen.follows ? "Follows from the options" : chosen.url || "https://host.example";
  };
  kind.addEventListener("change", propose);
  startOptions(kind, kinds);
  startPresets(kind, url, prefix);
}

// Shows the options of the chosen kind only, and what proves who calls.
function startOptions(kind, kinds) {
  const secret = document.getElementById("id_api_key");
  const reference = document.getElementById("id_credential_reference");
  const help = secret && helpOf(secret);
  const show = () => {
    for (const id of Object.keys(kinds)) {
      for (const group of document.querySelectorAll(`fieldset.gw-kind-${id}`)) {
        group.hidden = id !== kind.value;
      }
    }
    const chosen = kinds[kind.value];
    if (help) {
      help.textContent = `${secret.dataset.stored} ${chosen ? chosen.credential : ""}`.trim();
    }
    if (reference) {
      reference.placeholder = chosen ? chosen.reference : "";
    }
  };
  kind.addEventListener("change", show);
  show();
}

// The theme gives help texts no id: they stand below their field.
function helpOf(field) {
  return field.closest(".grow")?.querySelector(".leading-relaxed");
}

// Fills in what a known service implies. Its name is only proposed where there is none.
function startPresets(kind, url, prefix) {
  const preset = document.getElementById("id_preset");
  if (!preset || !preset.dataset.presets) {
    return;
  }
  const presets = JSON.parse(preset.dataset.presets);
  const name = document.getElementById("id_name");
  const reference = document.getElementById("id_credential_reference");
  preset.addEventListener("change", () => {
    const chosen = presets[preset.value];
    if (!chosen) {
      return;
    }
    kind.value = chosen.kind;
    // Choosers that stand in for the list learn of it only so.
    kind.dispatchEvent(new Event("change"));
    url.value = chosen.url;
    prefix.value = chosen.prefix;
    if (name && (name.value === "" || name.value in presets)) {
      name.value = preset.value;
    }
    if (reference) {
      reference.placeholder = chosen.reference;
    }
  });
}

document.addEventListener("DOMContentLoaded", start);
