// The page that shows a new key is the answer to a POST: reloading it would make another key.
// So the address becomes the key's own page, which shows everything but the key.
"use strict";

window.history.replaceState(null, "", document.getElementById("created-key").dataset.keyUrl);
document.getElementById("plain-key").select();
