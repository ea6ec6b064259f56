import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeServer, type FakeSocket } from "./server.js";
import { Client, settle, Time } from "./support.js";

const bytes = (...values: number[]): Uint8Array<ArrayBuffer> => Uint8Array.from(values);

for (const transport of ["websocket", "event-stream", "long-poll"] as const) {
  test(`by ${transport}: texts and bytes go both ways, in order, whatever is in them`, async (t) => {
    const time = new Time(t);
    const server = new FakeServer();
    const client = new Client(server, { transports: [transport] });
    const messages = ["", "a", "two\nlines", "\r\n", " \r", "🦀 \u0000", "\n", bytes(), bytes(0, 1, 2, 255), "{\"b\":\"AAEC\"}", ": no comment"];
    for (const message of messages) client.socket.send(message);
    await time.pass(0);
    for (const message of messages) server.session.send(message);
    await time.pass(1000);
    assert.deepEqual(server.session.inbox, messages);
    assert.deepEqual(client.messages, messages);
    assert.equal(client.socket.buffered, 0);
    assert.equal(client.socket.bufferedAmount, 0);
  });

  test(`by ${transport}: the server may let go of what has come`, async (t) => {
    const time = new Time(t);
    const server = new FakeServer();
    const client = new Client(server, { transports: [transport] });
    await settle();
    for (let at = 0; at < 200; at++) {
      server.session.send(`${at}`);
      await settle();
      assert.ok(server.session.kept.length <= 64, "more than 64 messages are not acknowledged");
    }
    for (let at = 0; at < 10; at++) {
      server.session.send("x".repeat(40_000));
      await settle();
      assert.ok(server.session.kept.length <= 33, "more than 64 KiB are not acknowledged");
    }
    await time.pass(1000);
    assert.equal(client.messages.length, 210);
  });

  test(`by ${transport}: subprotocols, the token and the session are said in headers`, async (t) => {
    const time = new Time(t);
    const server = new FakeServer();
    let tokens = 0;
    const client = new Client(server, {
      transports: [transport],
      protocols: ["chat.v2", "chat.v1"],
      headers: { "X-Mine": "1" },
      token: () => Promise.resolve(`t${++tokens}`),
    });
    await time.pass(0);
    assert.equal(client.socket.subprotocol, "chat.v2");
    if (transport === "websocket") {
      assert.deepEqual(server.sockets[0]!.offered, ["channels.v1", "chat.v2", "chat.v1", "bearer.t1"]);
      server.session.send("one");
      await settle();
      server.sockets[0]!.lose();
      await time.pass(1000);
      assert.deepEqual(server.sockets[1]!.offered, ["channels.v1", "channels.v1.resume.1.s1", "chat.v2", "chat.v1", "bearer.t2"]);
      return;
    }
    const [first] = server.requests;
    assert.equal(first!.headers.get("Channels-Subprotocols"), "chat.v2, chat.v1");
    assert.equal(first!.headers.get("Authorization"), "Bearer t1");
    assert.equal(first!.headers.get("X-Mine"), "1");
    assert.equal(first!.url, "http://test/ws/");
    client.socket.send("hello");
    await settle();
    for (const request of server.requests.slice(1)) assert.equal(request.headers.get("Channels-Session"), "s1");
    for (const request of server.requests) assert.ok(!request.url.includes("s1"), "a session's id is in no URL");
  });
}

test("bytes that are under way by another carrier, too, arrive once", async (t) => {
  const time = new Time(t, 0.5);
  const server = new FakeServer();
  server.obstacles.set("websocket", "cut");
  const client = new Client(server);
  await time.pass(29_000);
  // The request with the first is held up on its way, and arrives when the socket has the session.
  server.obstacles.set("post", "silence");
  client.socket.send(bytes(1));
  client.socket.send(bytes(2));
  server.obstacles.delete("websocket");
  server.lag = 400;
  await time.pass(1300);
  server.session.take({ from: 1, messages: [{ b: "AQ==" }] });
  await time.pass(100);
  assert.equal(client.socket.transport, "websocket");
  client.socket.send(bytes(3));
  await settle();
  assert.deepEqual(server.sockets.at(-1)!.frames, [bytes(1), bytes(2), bytes(3)]);
  assert.deepEqual(server.session.inbox, [bytes(1), bytes(2), bytes(3)]);
});

test("bytes go with their number where another carrier has brought some that the socket did not, else as they are", async (t) => {
  const time = new Time(t, 0.5);
  const server = new FakeServer();
  server.obstacles.set("websocket", "cut");
  const client = new Client(server, { transports: ["websocket", "long-poll"], returnAfter: 20_000 });
  for (const number of [1, 2, 3]) client.socket.send(bytes(number));
  await time.pass(19_000);
  // The socket has the session, and says so later: a request is answered meanwhile.
  server.obstacles.delete("websocket");
  server.lag = 400;
  await time.pass(1300);
  assert.equal(server.session.carrier, server.sockets.at(-1));
  client.socket.send(bytes(4));
  client.socket.send(bytes(5));
  await settle();
  assert.equal(client.socket.buffered, 0);
  assert.equal(client.socket.transport, "long-poll");
  await time.pass(400);
  assert.equal(client.socket.transport, "websocket");
  for (const message of [bytes(6), bytes(7), "8", bytes(9)]) client.socket.send(message);
  await settle();
  const [six, ...others] = server.sockets.at(-1)!.frames;
  assert.equal(six, '{"from":6,"messages":[{"b":"Bg=="}]}');
  assert.deepEqual(others, [bytes(7), '{"from":8,"messages":["8"]}', bytes(9)]);
  assert.deepEqual(server.session.inbox, [...[1, 2, 3, 4, 5, 6, 7].map((number) => bytes(number)), "8", bytes(9)]);
  assert.equal(client.socket.buffered, 0);
});

test("what is sent in a listener of the new carrier goes once, behind what waits", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  const client = new Client(server);
  client.socket.send("before");
  client.socket.onopen = () => client.socket.send("in it");
  client.socket.onstate = ({ state, previous }) => { if (state === "open" && previous === "reconnecting") client.socket.send(bytes(1)); };
  await time.pass(20_000);
  server.sockets[0]!.lose();
  client.socket.send("meanwhile");
  await time.pass(1000);
  assert.deepEqual(server.session.inbox, ["before", "in it", "meanwhile", bytes(1)]);
});

test("a silent socket is asked whether it is alive, and replaced if it is not", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  const client = new Client(server);
  await time.pass(24_999);
  const [socket] = server.sockets as [FakeSocket];
  assert.deepEqual(socket.frames, []);
  await time.pass(1);
  assert.deepEqual(socket.frames, ['{"ack":0}']);
  server.session.send("one");
  await time.pass(25_000);
  assert.deepEqual(socket.frames, ['{"ack":0}', '{"ack":1}']);
  socket.dead = true;
  server.session.send("to a dead socket");
  await time.pass(25_000 + 9_999);
  assert.equal(client.socket.state, "open");
  await time.pass(501);
  assert.equal(server.sockets.length, 2);
  assert.equal(server.sessions.length, 1);
  assert.equal(socket.closedWith, null, "a close frame that arrives late would end the session");
  assert.deepEqual(client.messages, ["one", "to a dead socket"]);
});

test("a silent event stream is replaced, one with comments is not", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  const client = new Client(server, { transports: ["event-stream"] });
  await time.pass(120_000);
  assert.deepEqual(server.log, ["stream"]);
  server.buffers = true;
  await time.pass(45_000);
  server.buffers = false;
  server.session.send("kept");
  await time.pass(1000);
  assert.deepEqual(server.log, ["stream", "stream"]);
  assert.deepEqual(client.messages, ["kept"]);
});

test("a poll that is not answered is given up after its window and the time of a request", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  const client = new Client(server, { transports: ["long-poll"] });
  await time.pass(15_000);
  assert.deepEqual(server.log, ["POST", "GET"]);
  server.obstacles.set("long-poll", "silence");
  await time.pass(10_000 + 40_000 - 1);
  assert.equal(client.socket.state, "open");
  server.obstacles.clear();
  await time.pass(1001);
  assert.deepEqual(server.log.slice(2), ["GET", "POST", "GET"]);
  assert.equal(client.socket.state, "open");
  assert.equal(server.sessions.length, 1);
});

test("sending goes on where the server took less than a whole batch", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  const client = new Client(server, { transports: ["long-poll"] });
  await settle();
  server.session.appetite = 2;
  for (const message of ["a", "b", "c", "d", "e"]) client.socket.send(message);
  await settle();
  assert.deepEqual(server.session.inbox, ["a", "b", "c", "d", "e"]);
  server.session.appetite = 0;
  client.socket.send("f");
  await time.pass(240);
  server.session.appetite = 2;
  assert.equal(client.socket.buffered, 1);
  await time.pass(10);
  assert.equal(client.socket.buffered, 0);
});

test("batches that are too long are halved, and one message that is too long is the end", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  const client = new Client(server, { transports: ["event-stream"] });
  await settle();
  server.limit = 300;
  for (let at = 0; at < 8; at++) client.socket.send(`${at}`.repeat(100));
  await settle();
  assert.equal(server.session.inbox.length, 8);
  client.socket.send("x".repeat(300));
  let unsent = 0;
  client.socket.onclose = (event) => { unsent = event.unsent.length; };
  await time.pass(1000);
  assert.equal(client.told.at(-1), "close 1009");
  assert.equal(unsent, 1);
});

test("a request that finds the session ended waits for its last words", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  const client = new Client(server, { transports: ["event-stream"] });
  await settle();
  const { session } = server;
  session.ended = { code: 4503, reason: "kicked", by: "server" };
  client.socket.send("too late");
  await time.pass(1000);
  assert.equal(client.socket.state, "open");
  session.carrier!.end(4503, "kicked");
  await settle();
  assert.equal(client.told.at(-1), "close 4503");
});

test("frames that make no sense cost the carrier, not the session", async (t) => {
  const time = new Time(t);
  for (const frame of ["{", '{"from":9,"messages":["gap"]}', '{"from":1,"messages":[{"b":"?"}]}']) {
    const server = new FakeServer();
    const client = new Client(server, { transports: ["websocket"] });
    await time.pass(10_000);
    server.sockets[0]!.onmessage!({ data: frame });
    assert.equal(client.socket.state, "reconnecting", frame);
    await time.pass(1000);
    assert.equal(client.socket.state, "open");
    assert.equal(server.sessions.length, 1);
    assert.deepEqual(client.messages, []);
  }
});

test("without a WebSocket, as in Node 20, the other transports are used", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  const client = new Client(server, { WebSocket: null });
  await time.pass(0);
  assert.equal(client.socket.transport, "event-stream");
  assert.deepEqual(server.log, ["stream"]);
  await time.pass(120_000);
  assert.deepEqual(server.log, ["stream"]);
});
