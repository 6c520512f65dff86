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
}

document.addEventListener("DOMContentLoaded", start);
