// Shows only the recipes whose client has the typed text in its name.
"use strict";

const search = document.getElementById("recipe-search");
const count = document.getElementById("recipe-count");
const recipes = [...document.querySelectorAll("[data-recipe]")];

document.getElementById("recipe-search-row").hidden = false;
search.addEventListener("input", () => {
  const wanted = search.value.trim().toLowerCase();
  for (const recipe of recipes) {
    recipe.hidden = !recipe.dataset.recipe.toLowerCase().includes(wanted);
  }
  for (const group of document.querySelectorAll("[data-recipe-group]")) {
    group.hidden = !group.querySelector("[data-recipe]:not([hidden])");
  }
  const shown = recipes.filter((recipe) => !recipe.hidden).length;
  count.textContent = wanted ? `${shown} of ${recipes.length}` : "";
});
