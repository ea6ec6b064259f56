import assert from "node:assert/strict";
import { test } from "node:test";
import { BufferFullError, ChannelsSocket } from "../src/channels.js";
import { FakeServer } from "./server.js";
import { Client, settle, Time } from "./support.js";

test("its events come in order, to the property and to all who listen, until they do not", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  const socket = new ChannelsSocket<{ text: string }, { say: string }>("http://test/ws/", server.options);
  const told: string[] = [];
  socket.onopen = ({ transport, subprotocol }) => told.push(`open ${transport} ${subprotocol}`);
  socket.onmessage = (message) => told.push(`property ${message.json().text}`);
  const stop = socket.on("message", (message) => {
    told.push(`listener ${message.json().text}`);
    stop();
  });
  socket.onclose = ({ code, reason }) => told.push(`close ${code} ${reason}`);
  assert.equal(socket.state, "connecting");
  assert.equal(socket.transport, null);
  await settle();
  socket.sendJSON({ say: "hello" });
  server.session.send('{"text":"one"}');
  server.session.send('{"text":"two"}');
  await settle();
  socket.close(4001, "enough");
  await time.pass(0);
  assert.deepEqual(told, ["open websocket null", "property one", "listener one", "property two", "close 4001 enough"]);
  assert.deepEqual(server.session.inbox, ['{"say":"hello"}']);
  assert.equal(socket.state, "closed");
  assert.equal(socket.transport, null);
});

test("a listener that throws harms no other one, and is heard of", async (t) => {
  new Time(t);
  const server = new FakeServer();
  const client = new Client(server);
  const uncaught: unknown[] = [];
  const seen = (error: unknown): void => void uncaught.push(error);
  const others = process.listeners("uncaughtException");
  process.removeAllListeners("uncaughtException");
  process.on("uncaughtException", seen);
  t.after(() => {
    process.off("uncaughtException", seen);
    for (const other of others) process.on("uncaughtException", other);
  });
  client.socket.onmessage = () => { throw new Error("mine"); };
  await settle();
  server.session.send("a");
  server.session.send("b");
  await settle();
  assert.deepEqual(client.messages, ["a", "b"]);
  assert.deepEqual(uncaught.map(String), ["Error: mine", "Error: mine"]);
});

test("json() says what is wrong with a message that is none", async (t) => {
  new Time(t);
  const server = new FakeServer();
  const client = new Client(server);
  const errors: string[] = [];
  client.socket.onmessage = (message) => assert.throws(() => message.json(), ({ name }: Error) => errors.push(name) > 0);
  await settle();
  server.session.send("{");
  server.session.send(Uint8Array.of(1));
  await settle();
  assert.deepEqual(errors, ["SyntaxError", "TypeError"]);
});

test("what cannot be sent yet is kept up to a bound, and sent in order", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  server.obstacles.set("websocket", "cut");
  const client = new Client(server, { transports: ["websocket"], maxBufferedAmount: 100 });
  client.socket.send("0123456789"); // 42
  const bytes = new Uint8Array([9, 1, 2, 9]);
  client.socket.send(bytes.subarray(1, 3)); // 34
  bytes.fill(0); // which is not what was sent
  assert.deepEqual([client.socket.buffered, client.socket.bufferedAmount], [2, 76]);
  assert.throws(() => client.socket.send(""), BufferFullError);
  server.obstacles.clear();
  await time.pass(500);
  assert.deepEqual(server.session.inbox, ["0123456789", Uint8Array.of(1, 2)]);
  client.socket.send(new Uint16Array([258]).buffer);
  client.socket.send(new DataView(new ArrayBuffer(3), 1, 1));
  await settle();
  assert.deepEqual(server.session.inbox.slice(2), [new Uint8Array(new Uint16Array([258]).buffer), Uint8Array.of(0)]);
});

test("a closed socket refuses to send, and opens again with a session of its own", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  const client = new Client(server);
  await settle();
  client.socket.open(); // which does nothing
  client.socket.close();
  client.socket.close();
  await time.pass(0);
  assert.throws(() => client.socket.send("x"), { name: "InvalidStateError", message: "the socket is closed" });
  client.told.length = 0;
  client.socket.open();
  client.socket.send("again");
  await settle();
  assert.deepEqual(client.told, ["connecting", "open", "transport websocket", "open websocket"]);
  assert.deepEqual(server.sessions.map(({ inbox }) => inbox), [[], ["again"]]);
});

test("a close before anything has opened ends it, and nothing is tried any more", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  const client = new Client(server);
  client.socket.close();
  await time.pass(60_000);
  assert.deepEqual(client.told, ["closing", "closed", "close 1000"]);
  assert.equal(server.sessions.filter(({ ended }) => !ended).length, 0);
});

test("codes and reasons that no close frame may have are refused, as a WebSocket does", () => {
  const socket = new ChannelsSocket("http://test/", { ...new FakeServer().options });
  for (const code of [0, 1001, 1006, 2999, 5000]) assert.throws(() => socket.close(code), { name: "InvalidAccessError" });
  assert.throws(() => socket.close(1000, "é".repeat(62)), { name: "SyntaxError" });
  socket.close(1000, "é".repeat(61));
});

test("nothing comes after close was called", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  const client = new Client(server, { transports: ["long-poll"] });
  await settle();
  client.socket.on("message", () => client.socket.close());
  server.session.kept.push("a", "b");
  server.session.send("c");
  await time.pass(1000);
  assert.deepEqual(client.messages, ["a"]);
  assert.equal(client.told.at(-1), "close 1000");
});
