"use strict";
// Three ways into one room, all at once, and what each of them costs. What people write reaches the page through
// `textContent` alone; the page's policy refuses any other way.

const $ = (id) => document.getElementById(id);
const KEPT = 200; // lines in a log before the oldest go
const SEEN = 30_000; // milliseconds that a lane shows
const ANSWER_TO_HANDSHAKE = 129; // bytes of the server's 101, which no script sees; a test counts them
const sleep = (time) => new Promise((done) => { setTimeout(done, time); });
const now = () => performance.timeOrigin + performance.now();
const bytes = (text) => new TextEncoder().encode(text).length;

let ahead = 0; // milliseconds by which the server's clock is ahead of this one
let selected = null; // the way whose tab is in front

// --- A way: its tab, its panel, its row in the table ---

class Way {
  constructor(id, title, about) {
    Object.assign(this, { id, title, spans: [], dots: [], running: false });
    const [row, lane] = $("row").content.cloneNode(true).children;
    const panel = $("panel").content.cloneNode(true).firstElementChild;
    this.tab = element("button", "", title);
    for (const [part, name] of [[row, "row"], [lane, "lane"], [panel, "panel"], [this.tab, "tab"]]) {
      part.dataset.way = id;
      part.id = `${name}-${id}`;
    }
    this.tab.type = "button";
    this.tab.setAttribute("role", "tab");
    this.tab.setAttribute("aria-controls", panel.id);
    panel.setAttribute("aria-labelledby", this.tab.id);
    row.cells[0].textContent = title;
    panel.querySelector(".about p").textContent = about;
    Object.assign(this, { row, panel, svg: lane.querySelector("svg"), log: panel.querySelector(".log"), text: panel.querySelector(".text") });
    $("rows").append(row, lane);
    $("tabs").append(this.tab);
    $("panels").append(panel);
    this.tab.addEventListener("click", () => select(this));
    panel.querySelector(".stop").addEventListener("click", () => (this.running ? this.stop() : this.start()));
    panel.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      const said = this.text.value.trim();
      if (said) this.say(said);
    });
    this.reset();
  }

  reset() {
    this.cost = { requests: 0, sent: 0, received: 0, heard: 0, delays: 0, worst: 0 };
    this.showCost();
  }

  start() {
    this.running = true;
    this.leaving = new AbortController();
    this.show("connecting", "Connecting…");
    this.run(this.leaving.signal);
  }

  stop() {
    this.running = false;
    this.leaving.abort();
    this.show("stopped", "Stopped: what is said now is not heard here.");
  }

  async say(said) {
    const message = JSON.stringify({ name: $("name").value, text: said });
    try {
      await this.send(message);
      if (this.text.value.trim() === said) this.text.value = "";
    } catch (error) {
      this.note(`Not sent: ${error.message}`);
    }
  }

  // A request, and what it costs; `signal` takes it back.
  async ask(path, options) {
    const span = { from: now(), to: null };
    this.spans.push(span);
    this.cost.requests += 1;
    this.showCost();
    try {
      const response = await fetch(path, { cache: "no-store", ...options });
      const body = await response.text();
      this.cost.sent += Number(response.headers.get("request-bytes"));
      this.cost.received += size(response, body);
      return { response, body };
    } finally {
      span.to = now();
      this.showCost();
    }
  }

  heard({ from, text, by, at }) {
    const delay = Math.max(0, now() + ahead - at);
    this.cost.heard += 1;
    this.cost.delays += delay;
    this.cost.worst = Math.max(this.cost.worst, delay);
    this.dots.push(now());
    this.showCost();
    const line = element("li", "");
    const who = element("span", "from", from);
    who.append(element("span", "by", `by ${by}`));
    line.append(who, element("span", "took", `after ${milliseconds(delay)}`), element("span", "said", text));
    this.append(line);
  }

  note(text) {
    this.append(element("li", "note", text));
  }

  append(line) {
    const atEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 40;
    this.log.append(line);
    if (this.log.childElementCount > KEPT) this.log.firstElementChild.remove();
    if (atEnd) this.log.scrollTop = this.log.scrollHeight;
  }

  show(state, status) {
    this.panel.dataset.state = state;
    this.panel.querySelector(".stop").textContent = this.running ? "Stop" : "Start";
    const line = this.panel.querySelector(".status");
    if (line.textContent !== status) line.textContent = status; // said once by a screen reader
  }

  showCost() {
    const { requests, sent, received, heard, delays, worst } = this.cost;
    const [, asked, wire, delay] = this.row.cells;
    asked.textContent = requests.toLocaleString("en");
    wire.replaceChildren((sent + received).toLocaleString("en"), element("small", "", heard ? `each ${amount((sent + received) / heard)}` : ""));
    delay.replaceChildren(heard ? milliseconds(delays / heard) : "–", element("small", "", heard ? `max ${milliseconds(worst)}` : ""));
  }

  // The last seconds: requests as bars, messages as strokes.
  draw() {
    const from = now() - SEEN;
    this.spans = this.spans.filter(({ to }) => !to || to > from);
    this.dots = this.dots.filter((at) => at > from);
    const x = (at) => Math.max(0, ((at - from) / SEEN) * 300).toFixed(2);
    const bars = this.spans.map(({ from: start, to }) => {
      const width = Math.max(1.2, x(to ?? now()) - x(start));
      return shape("rect", { x: x(start), y: 3, width, height: 8 });
    });
    const strokes = this.dots.map((at) => shape("line", { x1: x(at), x2: x(at), y1: 0, y2: 14 }));
    this.svg.replaceChildren(...bars, ...strokes);
  }
}

// --- Short and long polling: one request for each question, one for each word ---

class Polling extends Way {
  constructor(id, title, about, path, pause) {
    super(id, title, about);
    Object.assign(this, { path, pause, visitor: null });
  }

  async run(signal) {
    while (!signal.aborted) {
      try {
        this.visitor ??= await this.enter(signal);
        this.show("open", "Asking.");
        const { response, body } = await this.ask(this.path, { headers: { Visitor: this.visitor }, signal });
        if (response.status === 410) { // we were away
          this.visitor = null;
          this.note("Forgotten by the server: what was said meanwhile is missing.");
          continue;
        }
        if (!response.ok) throw new Error(`the server answers ${response.status}`);
        const { status, data, missed } = JSON.parse(body);
        if (missed) this.note(`${missed} messages were missed: too many waited.`);
        if (status) for (const said of data) this.heard(said);
        await this.pause(signal);
      } catch (error) {
        if (signal.aborted) return;
        this.show("lost", `No answer: ${error.message}. Trying again…`);
        await sleep(500 + Math.random() * 1500);
      }
    }
  }

  // The queue of the page itself is for the first who asks.
  async enter(signal) {
    const own = document.documentElement.dataset.visitor;
    if (own) {
      delete document.documentElement.dataset.visitor;
      return own;
    }
    const { response } = await this.ask("/home/", { method: "HEAD", signal });
    if (!response.ok) throw new Error(`the server answers ${response.status}`);
    return response.headers.get("visitor");
  }

  async send(message) {
    const { response, body } = await this.ask("/send/msg/", { method: "POST", body: message });
    if (!response.ok) throw new Error(body || `the server answers ${response.status}`);
  }
}

// Status line, headers and body, as HTTP/1.1 has them; without the header that is there for the counting only.
function size(response, body) {
  let sum = `HTTP/1.1 ${response.status} ${response.statusText}\r\n\r\n`.length + bytes(body);
  for (const [name, value] of response.headers) {
    if (name !== "request-bytes") sum += `${name}: ${value}\r\n`.length;
  }
  return sum;
}

// --- WebSocket: one handshake, then frames ---

class Socket extends Way {
  run(signal) {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/ws/`);
    const span = { from: now(), to: null };
    this.socket = socket;
    this.spans.push(span);
    this.cost.requests += 1;
    this.showCost();
    socket.onmessage = ({ data }) => {
      this.cost.received += frame(bytes(data));
      const message = JSON.parse(data);
      if (!("handshake" in message)) return this.heard(message);
      this.cost.sent += message.handshake;
      this.cost.received += ANSWER_TO_HANDSHAKE;
      this.showCost();
      this.show("open", "Connected.");
    };
    socket.onclose = async ({ code, reason }) => {
      span.to = now();
      if (signal.aborted) return;
      if (reason) this.note(reason);
      this.show("lost", `Closed (${code}). Trying again…`);
      await sleep(500 + Math.random() * 1500);
      if (!signal.aborted) this.run(signal);
    };
    signal.addEventListener("abort", () => socket.close());
  }

  send(message) {
    if (this.socket?.readyState !== WebSocket.OPEN) throw new Error("not connected");
    this.socket.send(message);
    this.cost.sent += frame(bytes(message)) + 4; // a client's frames have a mask
    this.showCost();
  }
}

// A frame of so many bytes with its head: RFC 6455, section 5.2.
const frame = (length) => length + (length < 126 ? 2 : length < 65_536 ? 4 : 10);

// --- The three ---

const interval = element("input", "");
Object.assign(interval, { type: "range", min: 0.25, max: 10, step: 0.25, value: 2, id: "interval" });
const every = element("label", "", "every ");
const seconds = element("output", "", "2 s");
every.append(interval, seconds);
let hurry = () => {};
interval.addEventListener("input", () => {
  seconds.textContent = `${interval.value} s`;
  hurry();
});
// Until the interval is over, or is another one.
const pause = (signal) => new Promise((done) => {
  hurry = done;
  setTimeout(done, interval.value * 1000);
  signal.addEventListener("abort", done);
});

const short = new Polling("short", "Short polling", "The browser asks again and again. Most answers are empty, and a message waits for the next question.", "/look/msg/", pause);
const long = new Polling("long", "Long polling", "The browser asks, and the server holds its answer until there is something to say, or for 10 s.", "/get/msg/", () => {});
const socket = new Socket("socket", "WebSocket", "One handshake; then both sides write when they have something to say.");
const ways = [short, long, socket];
short.panel.querySelector(".about p").append(every);

function select(way) {
  selected = way;
  for (const { tab, panel } of ways) {
    const front = tab === way.tab;
    tab.setAttribute("aria-selected", String(front));
    tab.tabIndex = front ? 0 : -1;
    panel.hidden = !front;
  }
  way.log.scrollTop = way.log.scrollHeight;
}

$("tabs").addEventListener("keydown", ({ key }) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
  if (!step) return;
  select(ways[(ways.indexOf(selected) + step + ways.length) % ways.length]);
  selected.tab.focus();
});

$("reset").addEventListener("click", () => ways.forEach((way) => way.reset()));
$("name").value = `guest-${1 + Math.floor(Math.random() * 99)}`;
let spoken = 0;
setInterval(() => { if ($("talk").checked) selected.say(`Message ${++spoken}`); }, 2000);
setInterval(() => { if (!document.hidden) ways.forEach((way) => way.draw()); }, matchMedia("(prefers-reduced-motion: reduce)").matches ? 2000 : 100);

// The server's clock beside ours: of a few questions, the one that was answered fastest.
async function compareClocks() {
  let best = Infinity;
  for (let question = 0; question < 8; question++) {
    const asked = now();
    const server = await (await fetch("/clock/")).json();
    const took = now() - asked;
    if (took < best) [best, ahead] = [took, server - (asked + took / 2)];
  }
  $("clock").textContent = `The server's clock is ${milliseconds(Math.abs(ahead))} ${ahead < 0 ? "behind" : "ahead of"} this one, give or take ${milliseconds(best / 2)}; that is taken into account.`;
}

function element(tag, className, content = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = content;
  return made;
}

function shape(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

const milliseconds = (time) => (time < 100 ? `${time.toFixed(1)} ms` : `${Math.round(time).toLocaleString("en")} ms`);
const amount = (count) => Math.round(count).toLocaleString("en");

select(short);
compareClocks().catch(() => { $("clock").textContent = "The clocks could not be compared."; }).then(() => ways.forEach((way) => way.start()));
