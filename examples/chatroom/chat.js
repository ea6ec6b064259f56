import { ChannelsSocket } from "/channels.js";

// What people write reaches the page through `textContent` alone; the page's policy refuses any other way.

const ROOM = /^[A-Za-z0-9_-]{1,50}$/;
const NAME_LIMIT = 30; // characters
const LIMIT = 2000; // characters in a message; the server refuses longer ones
const KEPT = 1000; // lines in the log before the oldest go
const STATUS = {
  connecting: "Connecting…", open: "Connected", reconnecting: "Reconnecting…",
  closing: "Leaving…", closed: "Not connected", refused: "Closed by the server",
};
const BY = { "websocket": "", "event-stream": ", by event stream", "long-poll": ", by long polling" };

const $ = (id) => document.getElementById(id);
const log = $("log"), text = $("text");

let name = remembered();
let room = "";
let state = "closed"; // a key of STATUS
let socket = null;
let you = null;
let present = [];
let last = null; // who spoke last, and when
let atBottom = true;
let unread = 0;

// --- Where we are: in the lobby, or in the room that the address names ---

function route() {
  leave();
  const query = new URLSearchParams(location.search);
  const given = query.get("name")?.trim();
  if (given) {
    name = remember([...given].slice(0, NAME_LIMIT).join(""));
    query.delete("name"); // a link that is passed on invites; it must not impersonate
    history.replaceState(null, "", `?${query}`);
  }
  const wanted = query.get("num")?.trim() ?? "";
  if (name && ROOM.test(wanted)) return openRoom(wanted);
  room = "";
  $("chat").hidden = true;
  $("lobby").hidden = false;
  document.title = "channels · chatroom";
  $("name").value = name;
  $("room").value = wanted;
  explain("name", true);
  explain("room", !wanted || ROOM.test(wanted));
  $(name ? "room" : "name").focus();
}

function openRoom(wanted) {
  room = wanted;
  $("lobby").hidden = true;
  $("chat").hidden = false;
  $("title").textContent = room;
  $("title").classList.toggle("long", room.length > 9);
  log.replaceChildren();
  text.value = "";
  showUnread(0);
  connect();
  text.focus();
}

$("enter-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const [called, wanted] = [$("name").value.trim(), $("room").value.trim()];
  explain("name", called);
  explain("room", ROOM.test(wanted));
  const mistaken = document.querySelector("[aria-invalid=true]");
  if (mistaken) return mistaken.focus();
  name = remember(called);
  if (new URLSearchParams(location.search).get("num") !== wanted) history.pushState(null, "", `?num=${wanted}`);
  openRoom(wanted);
});

function explain(field, fine) {
  $(field).setAttribute("aria-invalid", String(!fine));
  $(`${field}-error`).hidden = Boolean(fine);
}

// A name lives as long as its tab: two tabs are two people, or one in two windows, as the names are.
function remembered() {
  try { return sessionStorage.getItem("name") ?? ""; } catch { return ""; }
}
function remember(called) {
  try { sessionStorage.setItem("name", called); } catch { /* storage is off: it is asked for again */ }
  return called;
}

// --- The connection. The client finds a way to the server, comes back when it is lost, and sends again what was not taken. ---

function connect() {
  socket = new ChannelsSocket(`/ws/${room}/?name=${encodeURIComponent(name)}`);
  socket.onmessage = (message) => receive(message.json());
  socket.ontransport = () => show(socket.state);
  socket.onstate = ({ state: next }) => {
    if (next === "open") system("[连接成功]");
    if (next === "reconnecting") system("[断开连接]", "broken");
    if (next !== "closed") show(next);
  };
  socket.onclose = ({ code, reason, unsent }) => {
    const asked = state === "closing";
    system(["[断开连接]", code === 1006 ? "" : code, reason].filter(Boolean).join(" "), asked ? "" : "broken"); // 1006: no code came
    text.value = [...unsent.map((message) => JSON.parse(message).text), text.value].filter(Boolean).join("\n");
    show(asked ? "closed" : "refused");
  };
  show(socket.state);
}

function receive(message) {
  switch (message.type) {
    case "welcome":
      if (!you) system(message.text, "greeting"); // not again after each reconnect
      you = message.you;
      hue(you.name); // the first colour is one's own
      return showMembers();
    case "people":
      present = message.people;
      return showMembers();
    case "presence":
      return changed(message);
    case "message":
      return said(message);
  }
}

// People come and go, and open and close windows. A newcomer is also told what the list had already: that changes nothing.
function changed({ joins, leaves }) {
  for (const person of [...joins, ...leaves]) {
    const known = present.find(({ name: called }) => called === person.name);
    present = present.filter((other) => other !== known);
    if (person.windows) present.push({ ...person, since: Math.min(known?.since ?? Infinity, person.since) });
  }
  const others = (people, windows) => people.filter((person) => person.windows === windows && person.name !== you?.name);
  for (const person of others(joins, 1)) system(`${person.name} came in`);
  for (const person of others(leaves, 0)) system(`${person.name} left`);
  showMembers();
}

// Lets go of the connection without a word in the log.
function leave() {
  if (socket) {
    socket.onmessage = socket.ontransport = socket.onstate = socket.onclose = null;
    socket.close();
  }
  socket = last = null;
  show("closed");
}

$("close").addEventListener("click", () => {
  if (state === "closed" || state === "refused") connect();
  else if (state === "open") socket.close();
  else leave();
});

// --- What one sees ---

function show(next) {
  state = next;
  const ended = state === "closed" || state === "refused";
  if (ended) [you, present] = [null, []];
  $("chat").dataset.state = state;
  const status = STATUS[state] + (state === "open" ? BY[socket.transport] : "");
  if ($("status").textContent !== status) $("status").textContent = status; // said once by a screen reader
  $("close").textContent = ended ? "Connect" : "Leave";
  $("close").classList.toggle("primary", ended);
  $("close").disabled = state === "closing";
  showMembers();
}

function showMembers() {
  $("count").textContent = present.length;
  present.sort((one, other) => one.since - other.since);
  $("members").replaceChildren(...present.map(({ name: called, windows, since }) => {
    const member = element("li", "");
    member.style.setProperty("--hue", hue(called));
    member.title = `here since ${new Date(since).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}`;
    member.append(element("span", "name", called));
    if (called === you?.name) member.append(element("span", "you", "you"));
    if (windows > 1) member.append(element("span", "windows", `${windows} windows`));
    return member;
  }));
  fit();
}

function said({ from, text: content, at }) {
  const mine = from.id === you?.id;
  const follows = last?.id === from.id && at - last.at < 300_000;
  const message = element("article", `message${mine ? " mine" : ""}${follows ? " next" : ""}`);
  if (!follows) {
    const who = element("p", "who");
    const time = element("time", "", new Date(at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
    time.dateTime = new Date(at).toISOString();
    who.style.setProperty("--hue", hue(from.name));
    who.append(element("span", mine ? "name unseen" : "name", from.name), time);
    message.append(who);
  }
  message.append(element("p", "body", content));
  append(message);
  last = { id: from.id, at };
  if (!mine && !atBottom) $("newer").hidden = false;
  if (document.hidden) showUnread(unread + 1);
}

function system(content, className = "") {
  last = null;
  append(element("p", `system ${className}`, content));
}

function append(line) {
  log.append(line);
  if (log.childElementCount > KEPT) log.firstElementChild.remove();
  if (atBottom) toBottom();
}

function element(tag, className, content = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = content;
  return made;
}

// A colour for each name, in the order in which they are met; the golden angle keeps neighbours apart.
const met = new Map();
function hue(called) {
  if (!met.has(called)) met.set(called, 172 + met.size * 137.5);
  return met.get(called) % 360;
}

function toBottom() {
  log.scrollTop = log.scrollHeight;
  $("newer").hidden = true;
}

function showUnread(count) {
  unread = count;
  document.title = `${count ? `(${count}) ` : ""}#${room} · channels`;
}

// --- Writing ---

$("send-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const content = text.value.trim();
  if (state !== "open" || !content || content.length > LIMIT) return;
  socket.sendJSON({ text: content });
  text.value = "";
  fit();
  toBottom();
  text.focus();
});

text.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return; // 229: Safari, composing
  event.preventDefault();
  $("send-form").requestSubmit();
});

// The box, its button and the hint below follow what is written.
function fit() {
  const length = text.value.trim().length;
  $("send").disabled = state !== "open" || !length || length > LIMIT;
  let hint = "";
  if (length > LIMIT - 200) hint = `${length} of ${LIMIT} characters`;
  else if (state !== "open") hint = "Not connected. What you write stays here.";
  else if (present.length === 1 && !length) hint = "Only you are here. Send someone the link, or open a second tab.";
  if ($("hint").textContent !== hint) $("hint").textContent = hint;
  text.style.height = "auto";
  text.style.height = `${text.scrollHeight + 2}px`;
}

$("share").addEventListener("click", async () => {
  try {
    await navigator.clipboard.writeText(location.href);
    $("share").textContent = "Copied";
    setTimeout(() => { $("share").textContent = "Copy link"; }, 2000);
  } catch { // a plain http:// page of another machine has no clipboard
    prompt("The link to this room", location.href);
  }
});

text.addEventListener("input", fit);
$("newer").addEventListener("click", toBottom);
log.addEventListener("scroll", () => {
  atBottom = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
  if (atBottom) $("newer").hidden = true;
});
new ResizeObserver(() => { if (atBottom) toBottom(); }).observe(log); // a phone's keyboard came or went
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && room) showUnread(0);
});
addEventListener("popstate", route);
route();
