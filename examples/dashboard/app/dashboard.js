import { bars, lines, pie } from "/charts.js";

const $ = (id) => document.getElementById(id);
const KEPT = 60; // samples that the charts show

let samples = [];
let socket = null;

function connect() {
  const scheme = location.protocol === "https:" ? "wss" : "ws";
  socket = new WebSocket(`${scheme}://${location.host}/ws/`);
  socket.onopen = () => {
    samples = []; // a server that was started again counts from 1
    show("open", "Live");
  };
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (!message.number || message.number <= samples.at(-1)?.number) return; // our own traffic, or a sample that we have
    samples = [...samples, message].slice(-KEPT);
    draw();
  };
  socket.onclose = () => {
    show("lost", "Connection lost; trying again…");
    setTimeout(connect, 500 + Math.random() * 1500);
  };
}

function show(state, status) {
  $("status").dataset.state = state;
  $("status").textContent = status;
}

// --- What one sees ---

function draw() {
  const last = samples.at(-1);
  if (!last) return;
  const { machine } = last;
  const busy = ({ processors }) => processors.reduce((sum, each) => sum + each, 0) / processors.length;
  const own = machine.own_memory;
  const others = Math.max(0, machine.used_memory - own);
  const free = Math.max(0, machine.memory - machine.used_memory);

  $("connections").textContent = count(last.connections);
  $("deliveries").textContent = count(last.deliveries);
  $("cpu").textContent = percent(machine.own_cpu);
  $("memory").textContent = size(own);
  $("number").textContent = last.number;
  $("dropped").textContent = count(last.dropped);

  const minute = { length: KEPT, unit: "" };
  const all = `This machine ${percent(busy(machine))}, this server ${percent(machine.own_cpu)}`;
  const cpu = [
    { className: "a", values: samples.map((sample) => busy(sample.machine)) },
    { className: "b", values: samples.map((sample) => sample.machine.own_cpu) },
  ];
  lines($("cpu-chart"), cpu, { ...minute, least: 100, unit: " %", label: all });
  legend("cpu-legend", [["a", "This machine", percent(busy(machine))], ["b", "This server", percent(machine.own_cpu)]]);

  const each = machine.processors.map((processor, index) => `${index + 1}: ${percent(processor)}`).join(", ");
  bars($("processors-chart"), machine.processors, { top: 100, unit: " %", label: each });

  const messages = [
    { className: "a", values: samples.map(({ deliveries }) => deliveries) },
    { className: "b", values: samples.map(({ inputs }) => inputs) },
  ];
  lines($("messages-chart"), messages, { ...minute, least: 10, label: `${count(last.deliveries)} to clients, ${count(last.inputs)} from clients` });
  legend("messages-legend", [["a", "To clients", count(last.deliveries)], ["b", "From clients", count(last.inputs)]]);

  const parts = [["b", "This server", own], ["a", "Others", others], ["c", "Free", free]];
  const slices = parts.map(([className, , value]) => ({ className, value }));
  pie($("memory-chart"), slices, { word: size(machine.memory), label: parts.map(([, name, value]) => `${name} ${size(value)}`).join(", ") });
  legend("memory-legend", parts.map(([className, name, value]) => [className, name, size(value)]));
}

// A colour, a name, a number: nobody needs to see the colours.
function legend(id, entries) {
  $(id).replaceChildren(...entries.map(([className, name, value]) => {
    const entry = element("li", "");
    entry.append(element("span", `key ${className}`), `${name} `, element("strong", "", value));
    return entry;
  }));
}

function element(tag, className, content = "") {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = content;
  return made;
}

const count = (number) => Math.round(number).toLocaleString("en");
const percent = (number) => `${number.toFixed(1)} %`;
const size = (bytes) => (bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`);

// --- Traffic: the server says every message again ---

let due = 0; // messages, and parts of one
let since = performance.now();
setInterval(() => {
  const now = performance.now();
  due += (Number($("traffic").value) * (now - since)) / 1000;
  since = now;
  for (due = Math.min(due, 500); due >= 1; due--) {
    if (socket.readyState === WebSocket.OPEN) socket.send('{"echo":true}');
  }
}, 50);
$("traffic").addEventListener("input", () => {
  const rate = Number($("traffic").value);
  $("rate").textContent = rate ? `${rate} messages a second` : "none";
});

new ResizeObserver(draw).observe(document.querySelector("main"));
connect();
