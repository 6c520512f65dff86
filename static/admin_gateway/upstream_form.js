// Proposes the usual address of the chosen kind of upstream, and shows the field that its credential needs.
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
    url.placeholder = chosen.url || "https://host.example";
  };
  kind.addEventListener("change", propose);
  startPresets(kind, url, prefix);
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
