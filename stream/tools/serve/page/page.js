// The page of `anagram-stream serve`: shows the event stream, sends texts, looks up words.

const SHOWN_WORDS_MAX = 12;
const ANSWERS_MAX = 8;
const LATEST_MAX = 6;
const RATES_MAX = 120; // seconds of the sparkline
const WAIT_MS = 15000;
const RECONNECT_MS = [500, 1000, 2000, 5000];
const TOKEN = "anagram-stream-token";

const numbers = new Intl.NumberFormat("en");
const byId = (id) => document.getElementById(id);

function element(name, text = "", className = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function show(id, text) {
  const shown = byId(id);
  if (shown.textContent !== text) shown.textContent = text;
}

function headers(more = {}) {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { ...more, Authorization: `Bearer ${token}` } : more;
}

async function call(path, options = {}) {
  const response = await fetch(path, { ...options, headers: headers(options.headers) });
  const body = await response.json();
  if (response.status === 401) askForToken();
  if (!response.ok) throw new Error(body.detail || response.statusText);
  return { body, status: response.status };
}

function askForToken() {
  byId("token-form").hidden = false;
  byId("token").focus();
}

// --- outcomes -----------------------------------------------------------------------------------

function outcomeLine(outcome) {
  const line = element("div");
  if (outcome.outcome === "dead-letter") {
    const letter = outcome.dead_letter;
    line.append(element("span", `rejected: ${letter.reason}`, "bad"), ` – ${letter.message || ""} `);
    line.append(element("code", `anagram-stream dead-letters show ${outcome.position.partition}:${outcome.position.offset}`));
    return line;
  }
  const counts = Object.entries(outcome.result.anagram_counts).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  for (const [word, count] of counts.slice(0, SHOWN_WORDS_MAX)) {
    line.append(element("span", count === 1 ? word : `${word} × ${numbers.format(count)}`, "chip"), " ");
  }
  if (counts.length > SHOWN_WORDS_MAX) line.append(`and ${numbers.format(counts.length - SHOWN_WORDS_MAX)} more `);
  if (!counts.length) line.append("no dictionary words ");
  line.append(element("span", `${numbers.format(outcome.result.words)} word${outcome.result.words === 1 ? "" : "s"}`, "quiet"));
  return line;
}

function keepFirst(list, limit) {
  while (list.children.length > limit) list.lastElementChild.remove();
}

// --- forms --------------------------------------------------------------------------------------

async function submitText(text) {
  const item = element("li");
  item.append(element("div", text.length > 120 ? `${text.slice(0, 120)} …` : text), element("div", "sending …", "quiet"));
  byId("answers").prepend(item);
  keepFirst(byId("answers"), ANSWERS_MAX);
  const began = performance.now();
  try {
    const { body, status } = await call(`v1/blobs?wait=${WAIT_MS}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ text }),
    });
    if (status === 202) {
      const place = `${body.input.partition}:${body.input.offset}`;
      item.lastElementChild.textContent = `in the input topic at ${place}, but not counted within ${WAIT_MS / 1000} s: is a worker running?`;
      return;
    }
    item.lastElementChild.replaceWith(outcomeLine(body));
    item.append(element("div", `committed after ${Math.round(performance.now() - began)} ms`, "quiet"));
  } catch (error) {
    item.lastElementChild.textContent = error.message;
    item.lastElementChild.className = "bad";
  }
}

byId("submit-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = byId("text").value;
  if (text.trim()) {
    byId("text").value = "";
    submitText(text);
  }
});

byId("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byId("submit-form").requestSubmit();
});

for (const name of ["dragover", "dragleave", "drop"]) {
  byId("text").addEventListener(name, async (event) => {
    if (byId("send").disabled) return;
    byId("text").classList.toggle("over", name === "dragover");
    if (name === "dragover") event.preventDefault();
    const files = name === "drop" ? [...event.dataTransfer.files] : [];
    if (!files.length) return;
    event.preventDefault();
    for (const file of files) submitText(await file.text());
  });
}

byId("word-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    const { body } = await call(`v1/words/${encodeURIComponent(byId("word").value.trim())}`);
    const same = body.words.length ? body.words.join(", ") : "no dictionary words";
    show("word-answer", `${body.signature}: ${numbers.format(body.total)} (${same})`);
  } catch (error) {
    show("word-answer", error.message);
  }
});

byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(TOKEN, byId("token").value);
  byId("token").value = "";
  byId("token-form").hidden = true;
  follow.restart();
});

// --- the stream ---------------------------------------------------------------------------------

const totals = new Map();
const rates = [];
let before = null;

function showTop() {
  const rows = [...totals.values()].sort((a, b) => b.total - a.total || (a.signature < b.signature ? -1 : 1)).slice(0, 10);
  const body = byId("top");
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((each, number) => {
    const row = body.rows[number] || body.insertRow();
    while (row.cells.length < 3) row.insertCell();
    row.cells[1].className = "number";
    const words = each.words.slice(0, 6).join(" ") + (each.words.length > 6 ? " …" : "");
    [each.signature, numbers.format(each.total), words || "(not in the dictionary)"].forEach((text, cell) => {
      if (row.cells[cell].textContent !== text) row.cells[cell].textContent = text;
    });
  });
}

function keepTotals(changed) {
  for (const each of changed) totals.set(each.signature, each);
  if (totals.size > 500) {
    const kept = [...totals.values()].sort((a, b) => b.total - a.total).slice(0, 100);
    totals.clear();
    keepTotals(kept);
  }
  showTop();
}

function age(seconds) {
  if (seconds === null) return "–";
  return seconds < 60 ? `${seconds.toFixed(1)} s` : seconds < 3600 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

function showLag(status) {
  const body = byId("lag");
  while (body.rows.length > status.partitions.length) body.deleteRow(-1);
  status.partitions.forEach((each, number) => {
    const row = body.rows[number] || body.insertRow();
    while (row.cells.length < 5) row.insertCell();
    const texts = [each.partition, numbers.format(each.lag), age(each.age_s), numbers.format(each.end), each.member || "none"];
    texts.forEach((text, cell) => {
      row.cells[cell].className = cell < 4 ? "number" : each.member ? "" : "bad";
      if (row.cells[cell].textContent !== String(text)) row.cells[cell].textContent = text;
    });
  });
  const group = status.group;
  show("group", group ? `group ${group.id}: ${group.state}, ${group.members} member${group.members === 1 ? "" : "s"}` : `unknown: ${status.unknown}`);
  byId("workers").replaceChildren(...status.workers.map((each) => {
    const state = each.ready === null ? "does not respond" : each.ready ? "ready" : "not ready";
    return element("li", `${each.url}: ${state}${each.reasons.length ? ` (${each.reasons.join("; ")})` : ""}`, each.ready ? "" : "bad");
  }));
}

function showDeadLetters(reasons) {
  byId("dead-none").hidden = reasons.length > 0;
  const list = byId("dead");
  const known = new Map([...list.children].map((item) => [item.dataset.reason, item]));
  for (const each of reasons) {
    let item = known.get(each.reason);
    if (!item) {
      item = element("li");
      item.dataset.reason = each.reason;
      const command = `anagram-stream dead-letters replay --reason ${each.reason}`;
      const copy = element("button", "Copy", "small");
      copy.type = "button";
      copy.setAttribute("aria-label", `Copy the command that replays ${each.reason}`);
      copy.addEventListener("click", () => navigator.clipboard?.writeText(command).then(() => { copy.textContent = "Copied"; }));
      item.append(element("strong"), " ", element("code", command), " ", copy);
      list.append(item);
    }
    item.firstElementChild.textContent = `${each.reason}: ${numbers.format(each.number)}`;
  }
}

function showRates(status) {
  const now = performance.now();
  const blobs = status.results + status.dead_letters.reduce((sum, each) => sum + each.number, 0);
  if (before) {
    const seconds = Math.max(0.1, (now - before.now) / 1000);
    const rate = Math.max(0, (status.words - before.words) / seconds);
    rates.push(rate);
    if (rates.length > RATES_MAX / 2) rates.shift();
    show("words-rate", numbers.format(Math.round(rate)));
    show("blobs-rate", numbers.format(Math.round(Math.max(0, (blobs - before.blobs) / seconds))));
    const greatest = Math.max(1, ...rates);
    const first = RATES_MAX / 2 - rates.length; // the newest is on the right
    const points = rates.map((each, number) => `${((first + number) * 240) / (RATES_MAX / 2 - 1)},${46 - (each / greatest) * 44}`);
    byId("sparkline-line").setAttribute("points", points.join(" "));
  }
  before = { now, words: status.words, blobs };
  show("words", numbers.format(status.words));
  show("signatures", numbers.format(status.signatures));
}

const handlers = {
  outcomes(content) {
    const list = byId("latest");
    for (const each of content.outcomes.slice(-LATEST_MAX)) {
      const item = element("li");
      item.append(element("code", `${each.position.partition}:${each.position.offset}`), outcomeLine(each));
      list.prepend(item);
    }
    keepFirst(list, LATEST_MAX);
  },
  totals(content) {
    keepTotals(content.totals);
  },
  status(status) {
    showLag(status);
    showDeadLetters(status.dead_letters);
    showRates(status);
    show("version", status.version);
    const fresh = status.freshness.age_ms;
    show("age", fresh === null ? "the view is still reading the topics" : `as of ${age(fresh / 1000)} ago`);
    byId("send").disabled = !status.submit;
    byId("text").disabled = !status.submit;
    show("submit-state", status.submit ? "" : "Start serve with STREAM_SERVE_SUBMIT=true to send texts.");
    const notice = byId("notice");
    notice.hidden = !status.dictionary_differs;
    show("notice", status.dictionary_differs ? "The workers use a different dictionary than this server: set STREAM_DICTIONARY to theirs." : "");
  },
  gap() {},
};

function connection(text, isGood) {
  show("connection", text);
  byId("connection").className = `state ${isGood ? "good" : "bad"}`;
}

// Not EventSource, which cannot send a token.
const follow = {
  lastId: "",
  failures: 0,
  controller: null,

  restart() {
    this.controller?.abort();
  },

  async run() {
    for (;;) {
      this.controller = new AbortController();
      try {
        await this.read();
      } catch (error) {
        if (error.message === "401") {
          askForToken();
          connection("token required", false);
          await new Promise((resolve) => { byId("token-form").addEventListener("submit", resolve, { once: true }); });
          continue;
        }
      }
      const wait = RECONNECT_MS[Math.min(this.failures, RECONNECT_MS.length - 1)];
      this.failures += 1;
      connection("connection lost, reconnecting …", false);
      await new Promise((resolve) => { setTimeout(resolve, wait); });
    }
  },

  async read() {
    const more = this.lastId ? { "Last-Event-ID": this.lastId } : {};
    const response = await fetch("v1/stream?rate=5", { headers: headers(more), signal: this.controller.signal });
    if (!response.ok) throw new Error(String(response.status));
    const { body } = await call("v1/top?limit=50");
    keepTotals(body.top);
    connection("live", true);
    this.failures = 0;
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let buffered = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      buffered += value;
      let end;
      while ((end = buffered.indexOf("\n\n")) >= 0) {
        this.take(buffered.slice(0, end));
        buffered = buffered.slice(end + 2);
      }
    }
  },

  take(block) {
    const fields = {};
    for (const line of block.split("\n")) {
      const colon = line.indexOf(": ");
      if (colon > 0) fields[line.slice(0, colon)] = line.slice(colon + 2);
    }
    if (fields.id) this.lastId = fields.id;
    if (fields.event && fields.data) handlers[fields.event]?.(JSON.parse(fields.data));
  },
};

follow.run();
