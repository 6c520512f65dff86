// The live page: takes events from the gateway's WebSocket and puts them at the top of the table.
"use strict";

(() => {
  const MAX_ROWS = 500;
  const FIRST_WAIT_MS = 1000;
  const LONGEST_WAIT_MS = 30000;
  // Screen readers are told a sum now and then, never each row.
  const NEWS_MS = 10000;
  const NOT_ALLOWED = 4403;

  const find = (id) => document.getElementById(`live-${id}`);
  const page = document.getElementById("live");
  const [form, rows, empty, state, pauseButton] = ["filter", "rows", "empty", "state", "pause"].map(find);

  let socket = null;
  let isReady = false;
  let isFilterPending = false;
  let isPaused = false;
  let hasEnded = false;
  let wait = FIRST_WAIT_MS;
  let timer = null;
  let missed = 0;
  let dropped = 0;
  let news = { requests: 0, errors: 0 };

  // What is shown

  const number = (value) => value.toLocaleString("en");
  const counted = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;

  function showState(kind, text) {
    if (state.textContent !== text) {
      state.textContent = text;
    }
    state.dataset.state = kind;
  }

  function showConnected() {
    showState(isPaused ? "paused" : "live", isPaused ? "Paused" : "Live");
  }

  function showCounts() {
    const shown = rows.children.length - (empty.isConnected ? 1 : 0);
    find("count").textContent = `${counted(shown, "request")} shown`;
    find("missed").hidden = missed === 0;
    find("missed").textContent = `${counted(missed, "request")} passed while paused`;
    find("dropped").hidden = dropped === 0;
    find("dropped").textContent = `${counted(dropped, "request")} left out: too many at once`;
  }

  function duration(value) {
    if (value === null) {
      return "–";
    }
    if (value >= 1000) {
      return `${number(Math.round(value / 10) / 100)} s`;
    }
    return `${value < 10 ? value.toFixed(1) : Math.round(value)} ms`;
  }

  function cost(event) {
    return event.cost_usd === null ? "no price" : `$${event.cost_usd.replace(/\.?0+$/, "")}`;
  }

  function element(name, className, ...children) {
    const made = document.createElement(name);
    made.className = className;
    made.append(...children);
    return made;
  }

  function more(text) {
    return text ? [element("span", "live-more", text)] : [];
  }

  function link(event) {
    const made = element("a", "", new Date(event.at_ms).toISOString().slice(11, 23));
    const hex = event.id.replace(/^req_/, "");
    const uuid = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
    made.href = page.dataset.record.replace(/0{8}-0{4}-0{4}-0{4}-0{12}/, uuid);
    made.title = event.id;
    return made;
  }

  function row(event) {
    const status = element("span", "live-status", String(event.status));
    status.dataset.outcome = event.outcome;
    const kind = [event.operation, event.is_stream ? "stream" : ""].filter(Boolean).join(", ");
    const ending = event.error_code || (event.state === "reported" ? "" : event.state);
    const made = element(
      "tr",
      "",
      element("td", "", link(event), ...more(kind)),
      element("td", "live-name", event.model, ...more(event.upstream)),
      element("td", "live-name live-wide", event.key || "master key"),
      element("td", "live-name", status, ...more(ending)),
      element("td", "live-number", duration(event.total_ms)),
      element("td", "live-number live-wide", duration(event.first_token_ms)),
      element("td", "live-number live-wide", number(event.input_tokens)),
      element("td", "live-number live-wide", number(event.output_tokens)),
      element("td", "live-number live-wide", cost(event)),
    );
    made.id = event.id;
    return made;
  }

  function clear() {
    rows.replaceChildren(empty);
    missed = 0;
    dropped = 0;
    showCounts();
  }

  function take(message) {
    // The ledger may store a batch again whose fate it did not know.
    const events = message.events.filter((event) => !document.getElementById(event.id));
    dropped += message.dropped;
    if (isPaused) {
      missed += events.length;
    } else {
      news.requests += events.length;
      news.errors += events.filter((event) => event.status >= 400).length;
      if (events.length) {
        empty.remove();
      }
      rows.prepend(...events.map(row).reverse());
      while (rows.children.length > MAX_ROWS) {
        rows.lastElementChild.remove();
      }
    }
    showCounts();
  }

  function tellNews() {
    if (news.requests) {
      const errors = news.errors ? `, ${counted(news.errors, "error")}` : "";
      find("news").textContent = `${counted(news.requests, "new request")}${errors}.`;
      news = { requests: 0, errors: 0 };
    }
  }

  // The filter: in the form, in the address, and at the gateway

  function filterOfForm() {
    const fields = {};
    for (const [name, value] of new FormData(form)) {
      if (value.trim()) {
        fields[name] = value.trim();
      }
    }
    return fields;
  }

  function applyFilter(event) {
    event.preventDefault();
    const fields = filterOfForm();
    const query = new URLSearchParams(fields).toString();
    history.replaceState(null, "", query ? `?${query}` : location.pathname);
    clear();
    if (isReady) {
      isFilterPending = true;
      socket.send(JSON.stringify({ type: "filter", ...fields, errors_only: "errors_only" in fields }));
    }
  }

  // The connection

  function connect() {
    clearTimeout(timer);
    const address = new URL(page.dataset.socket, location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.search = new URLSearchParams(filterOfForm()).toString();
    const opened = new WebSocket(address);
    socket = opened;
    isReady = false;
    isFilterPending = false;
    opened.addEventListener("message", (event) => hear(JSON.parse(event.data)));
    opened.addEventListener("close", (event) => lose(event));
  }

  function hear(message) {
    if (message.type === "ready") {
      isReady = true;
      wait = FIRST_WAIT_MS;
      find("partial").hidden = !message.is_partial;
      showConnected();
    } else if (message.type === "filter") {
      isFilterPending = false;
    } else if (message.type === "events" && !isFilterPending) {
      take(message);
    } else if (message.type === "error") {
      isFilterPending = false;
      find("news").textContent = message.message;
    }
  }

  function lose(event) {
    const wasReady = isReady;
    isReady = false;
    if (event.code === NOT_ALLOWED) {
      end();
      return;
    }
    if (!wasReady && event.code === 1006) {
      endIfSignedOut();
    }
    showState("connecting", event.reason ? `${event.reason} Connecting again…` : "Connection lost. Connecting again…");
    timer = setTimeout(connect, wait * (0.75 + Math.random() / 2));
    wait = Math.min(wait * 2, LONGEST_WAIT_MS);
  }

  function end() {
    hasEnded = true;
    clearTimeout(timer);
    showState("ended", "You are signed out, or may not watch any more. Load the page again.");
  }

  // A handshake that is refused looks to a script as any other failure; the page itself tells more.
  async function endIfSignedOut() {
    try {
      const answer = await fetch(location.href, { method: "HEAD", redirect: "manual" });
      if (answer.type === "opaqueredirect" || answer.status === 403) {
        end();
      }
    } catch {
      // The gateway is away; the next attempt is planned.
    }
  }

  function connectAtOnce() {
    if (!hasEnded && socket.readyState === WebSocket.CLOSED) {
      wait = FIRST_WAIT_MS;
      connect();
    }
  }

  form.addEventListener("submit", applyFilter);
  find("clear").addEventListener("click", clear);
  pauseButton.addEventListener("click", () => {
    isPaused = !isPaused;
    pauseButton.textContent = isPaused ? "Resume" : "Pause";
    if (isPaused) {
      missed = 0;
    }
    showCounts();
    if (isReady) {
      showConnected();
    }
  });
  window.addEventListener("online", connectAtOnce);
  setInterval(tellNews, NEWS_MS);
  connect();
})();
