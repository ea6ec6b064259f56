import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeServer } from "./server.js";
import { Client, settle, Time } from "./support.js";

test("it opens by websocket where that passes, and asks for nothing else", async (t) => {
  const time = new Time(t);
  const client = new Client(new FakeServer());
  await time.pass(60_000);
  assert.deepEqual(client.told, ["open", "transport websocket", "open websocket"]);
  assert.deepEqual(client.server.log, ["ws"]);
});

test("a websocket that is refused or swallowed gives way to an event stream, and that to long polls", async (t) => {
  const time = new Time(t);
  for (const obstacle of ["cut", "silence"] as const) {
    const server = new FakeServer();
    server.obstacles.set("websocket", obstacle);
    const stream = new Client(server);
    await time.pass(obstacle === "cut" ? 0 : 5000);
    assert.deepEqual(stream.told, ["open", "transport event-stream", "open event-stream"]);

    server.obstacles.set("event-stream", obstacle);
    const poll = new Client(server);
    await time.pass(obstacle === "cut" ? 0 : 10_000);
    assert.deepEqual(poll.told, ["open", "transport long-poll", "open long-poll"]);
  }
});

test("a stream whose first event is kept back gives way to long polls", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  server.obstacles.set("websocket", "cut");
  server.buffers = true;
  const client = new Client(server);
  await time.pass(5000);
  assert.equal(client.socket.transport, "long-poll");
});

test("a page instead of an event stream gives way to long polls", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  const { fetch } = server.options;
  const client = new Client(server, {
    transports: ["event-stream", "long-poll"],
    fetch: (input, init) => new Headers(init?.headers).has("Accept")
      ? Promise.resolve(new Response("<h1>Log in</h1>", { headers: { "Content-Type": "text/html" } }))
      : fetch(input as string, init),
  });
  await time.pass(0);
  assert.equal(client.socket.transport, "long-poll");
});

test("a websocket that is cut before it was of use gives way at once, one that has worked is tried twice more", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  const client = new Client(server);
  await settle();
  server.obstacles.set("websocket", "cut");
  server.sockets[0]!.lose();
  await settle();
  assert.equal(client.socket.transport, "event-stream");
  assert.equal(server.sessions.length, 1, "it went on with its session");

  const other = new FakeServer();
  const patient = new Client(other);
  await time.pass(10_000);
  other.obstacles.set("websocket", "cut");
  other.sockets[0]!.lose();
  await time.pass(499);
  assert.deepEqual(other.log, ["ws"]);
  await time.pass(1);
  assert.deepEqual(other.log, ["ws", "ws"]);
  await time.pass(1000);
  assert.deepEqual(other.log, ["ws", "ws", "ws", "stream"]);
  await settle();
  assert.equal(patient.socket.transport, "event-stream");
  assert.equal(other.sessions.length, 1);
});

test("a server that is away is asked by every transport, then after pauses that double up to a bound", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  for (const transport of ["websocket", "event-stream", "long-poll"] as const) server.obstacles.set(transport, "cut");
  const client = new Client(server, { maxDelay: 2000 });
  const round = ["ws", "stream", "POST"];
  await settle();
  assert.deepEqual(server.log, round);
  for (const pause of [500, 1000, 2000, 2000]) {
    server.log.length = 0;
    await time.pass(pause - 1);
    assert.deepEqual(server.log, []);
    await time.pass(1);
    assert.deepEqual(server.log, round);
  }
  assert.equal(client.socket.state, "connecting");
  server.obstacles.clear();
  await time.pass(2000);
  assert.equal(client.socket.transport, "websocket");
});

test("it comes back to websocket, asking less and less often, and changes only when the socket has the session", async (t) => {
  const time = new Time(t, 0.5); // a pause to return is then as long as it says
  const server = new FakeServer();
  server.obstacles.set("websocket", "cut");
  const client = new Client(server);
  await time.pass(29_900);
  assert.deepEqual(server.log, ["ws", "stream"]);
  await time.pass(100);
  assert.deepEqual(server.log, ["ws", "stream", "ws"]);
  await time.pass(59_900);
  assert.equal(server.log.length, 3);
  await time.pass(100);
  assert.deepEqual(server.log, ["ws", "stream", "ws", "ws"]);

  server.obstacles.set("websocket", "silence");
  await time.pass(120_000 + 2500);
  assert.deepEqual(server.log, ["ws", "stream", "ws", "ws", "ws"]);
  server.session.send("by the stream, while a socket is tried");
  await settle();
  assert.deepEqual(client.messages, ["by the stream, while a socket is tried"]);

  await time.pass(5000);
  server.obstacles.clear();
  await time.pass(240_000);
  assert.equal(client.socket.transport, "websocket");
  server.session.send("by the socket");
  await settle();
  assert.deepEqual(client.messages.slice(1), ["by the socket"]);
  assert.deepEqual(client.told, ["open", "transport event-stream", "open event-stream", "transport websocket"]);
  assert.equal(server.sessions.length, 1);
});

test("where no websocket passes, it comes back from long polls to an event stream", async (t) => {
  const time = new Time(t, 0.5);
  const server = new FakeServer();
  server.obstacles.set("websocket", "cut");
  server.obstacles.set("event-stream", "cut");
  const client = new Client(server);
  await time.pass(0);
  assert.equal(client.socket.transport, "long-poll");
  server.obstacles.delete("event-stream");
  await time.pass(30_000);
  assert.equal(client.socket.transport, "long-poll", "the websocket was tried first");
  await time.pass(60_000);
  assert.equal(client.socket.transport, "event-stream");
  server.obstacles.delete("websocket");
  await time.pass(120_000);
  assert.equal(client.socket.transport, "websocket");
  assert.equal(server.sessions.length, 1);
});

for (const transport of ["event-stream", "long-poll"] as const) {
  test(`by ${transport}: it waits while a socket takes over, and does not take the session back`, async (t) => {
    const time = new Time(t, 0.5);
    const server = new FakeServer();
    server.obstacles.set("websocket", "cut");
    const client = new Client(server, { transports: ["websocket", transport] });
    await time.pass(29_000);
    server.obstacles.clear();
    server.lag = 400;
    await time.pass(1300);
    const { length } = server.log;
    assert.equal(server.session.carrier, server.sockets.at(-1));
    assert.equal(client.socket.transport, transport);
    server.session.send("meanwhile");
    await time.pass(20_000);
    assert.equal(client.socket.transport, "websocket");
    assert.equal(server.log.length, length, "nothing else was asked for after that");
    assert.equal(server.session.carrier, server.sockets.at(-1));
    assert.deepEqual(client.messages, ["meanwhile"]);
    assert.ok(!client.told.includes("reconnecting"));
  });
}

for (const transport of ["event-stream", "long-poll"] as const) {
  test(`by ${transport}: nothing is acknowledged while a socket is told to go on behind what came before`, async (t) => {
    const time = new Time(t, 0.5);
    const server = new FakeServer();
    server.obstacles.set("websocket", "silence");
    const client = new Client(server, { transports: ["websocket", transport] });
    await time.pass(5000 + 30_000);
    const { first } = server.session;
    for (let at = 0; at < 40; at++) server.session.send(`${at}`);
    client.socket.send("with an acknowledgement, if there may be one");
    await time.pass(4999);
    assert.equal(server.session.first, first);
    assert.equal(server.session.inbox.length, 1);
    await time.pass(1);
    assert.equal(client.messages.length, 40);
    assert.ok(server.session.first > first, "afterwards it is");
  });
}

test("a stream that is lost after, or during, an attempt to return is followed by another carrier", async (t) => {
  const time = new Time(t, 0.5);
  for (const obstacle of ["cut", "silence"] as const) {
    const server = new FakeServer();
    server.obstacles.set("websocket", "cut");
    const client = new Client(server);
    await time.pass(29_000);
    server.obstacles.set("websocket", obstacle);
    await time.pass(2000);
    assert.deepEqual(server.log, ["ws", "stream", "ws"]);
    server.session.cut();
    server.session.send("kept");
    await time.pass(5000);
    assert.deepEqual(client.messages, ["kept"]);
  }
});

test("a stream that is cut again and again does not put off the attempt to return", async (t) => {
  const time = new Time(t, 0.5);
  const server = new FakeServer();
  server.obstacles.set("websocket", "cut");
  const client = new Client(server);
  for (let cut = 0; cut < 2; cut++) {
    await time.pass(14_000);
    server.session.cut();
  }
  server.obstacles.clear();
  await time.pass(1500);
  assert.equal(client.socket.transport, "event-stream");
  await time.pass(500);
  assert.equal(client.socket.transport, "websocket");
});

test("a socket that takes over and then says nothing is given up, and the session goes on by polls", async (t) => {
  const time = new Time(t, 0.5);
  const server = new FakeServer();
  server.obstacles.set("websocket", "cut");
  const client = new Client(server, { transports: ["websocket", "long-poll"] });
  await time.pass(29_000);
  server.obstacles.clear();
  server.takesOverInSilence = true;
  await time.pass(1000);
  server.session.send("one");
  await time.pass(5000);
  assert.deepEqual(client.messages, ["one"]);
  assert.equal(client.socket.transport, "long-poll");
  assert.equal(server.sessions.length, 1);
  assert.equal(server.sockets.at(-1)!.closedWith, null, "a close frame would have ended the session");
});

test("a transport that the route does not offer is not asked for again", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  server.obstacles.set("event-stream", 405);
  server.obstacles.set("long-poll", 503);
  const client = new Client(server, { transports: ["event-stream", "long-poll"] });
  await time.pass(60_000);
  assert.equal(server.log.filter((entry) => entry === "stream").length, 1);
  server.obstacles.set("long-poll", 405);
  await time.pass(60_000);
  assert.equal(client.told.at(-1), "close 1006");
});

test("a server without time is asked later, and not before it said", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  server.obstacles.set("event-stream", 503);
  const client = new Client(server, { transports: ["event-stream", "long-poll"] });
  await time.pass(7400);
  assert.deepEqual(server.log, ["stream"]);
  server.obstacles.clear();
  await time.pass(100);
  assert.equal(client.socket.transport, "event-stream");
});

test("a refusal by every transport that can tell is the end, with its status", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  server.obstacles.set("websocket", "cut");
  server.obstacles.set("event-stream", 403);
  server.obstacles.set("long-poll", 403);
  const client = new Client(server);
  client.socket.send("kept");
  let unsent: readonly (string | Uint8Array)[] = [];
  client.socket.onclose = (event) => { unsent = event.unsent; };
  await time.pass(60_000);
  assert.deepEqual(client.told, ["closed", "close 403"]);
  assert.deepEqual(unsent, ["kept"]);
  assert.deepEqual(server.log, ["ws", "stream", "POST"]);
});

for (const transport of ["websocket", "event-stream", "long-poll"] as const) {
  test(`by ${transport}: final codes end it, others are followed by a new session`, async (t) => {
    const time = new Time(t);
    for (const [code, pause] of [[1000, null], [1009, null], [4503, null], [4000, 0], [1012, 500], [4429, 500]] as const) {
      const server = new FakeServer();
      const client = new Client(server, { transports: [transport] });
      await settle();
      assert.equal(client.socket.state, "open");
      server.session.close(code, "that is why");
      if (pause === null) {
        await time.pass(60_000);
        assert.deepEqual(client.told.slice(-2), ["closed", `close ${code}`]);
        assert.equal(server.sessions.length, 1);
        continue;
      }
      if (pause) {
        await time.pass(pause - 1);
        assert.equal(server.sessions.length, 1, `${code}: not before its pause`);
      }
      await time.pass(1);
      await settle();
      assert.equal(server.sessions.length, 2);
      assert.deepEqual(client.told.slice(-3), ["reconnecting", "open", "reopen 0"]);
      client.socket.close();
      await settle();
    }
  });

  test(`by ${transport}: a session that the server forgot is followed by a new one, with all that was not taken`, async (t) => {
    const time = new Time(t);
    const server = new FakeServer();
    const client = new Client(server, { transports: [transport] });
    await settle();
    server.sessions.length = 0; // as after a restart
    for (const socket of server.sockets) socket.dead = true;
    client.socket.send("kept");
    await time.pass(40_000);
    assert.ok(client.told.includes("reopen 1"), client.told.join());
    assert.deepEqual(server.session.inbox, ["kept"]);
    assert.equal(client.socket.buffered, 0);
  });

  test(`by ${transport}: a close waits for what was sent before, and tells the server`, async (t) => {
    new Time(t);
    const server = new FakeServer();
    const client = new Client(server, { transports: [transport] });
    await settle();
    let unsent: readonly (string | Uint8Array)[] | null = null;
    client.socket.onclose = (event) => { unsent = event.unsent; };
    client.socket.send("last words");
    client.socket.close(4001, "bye");
    assert.throws(() => client.socket.send("too late"), /the socket is closing/);
    await settle();
    assert.deepEqual(client.told.slice(-3), ["closing", "closed", "close 4001"]);
    assert.deepEqual(server.session.inbox, ["last words"]);
    assert.deepEqual(server.session.ended, { code: 4001, reason: "bye", by: "client" });
    assert.deepEqual(unsent, [], "it was taken, and the client knows");
  });

  test(`by ${transport}: what is sent when it opens, before a close, arrives`, async (t) => {
    new Time(t);
    const server = new FakeServer();
    const client = new Client(server, { transports: [transport] });
    client.socket.onopen = () => {
      client.socket.send("x");
      client.socket.close();
    };
    await settle();
    assert.equal(client.told.at(-1), "close 1000");
    assert.deepEqual(server.session.inbox, ["x"]);
    assert.deepEqual(server.session.ended, { code: 1000, reason: "", by: "client" });
  });

  test(`by ${transport}: a close does not wait longer than three seconds, and gives back what was not taken`, async (t) => {
    const time = new Time(t);
    const server = new FakeServer();
    const client = new Client(server, { transports: [transport] });
    await settle();
    const { session } = server;
    session.appetite = 0;
    client.socket.send("never");
    let unsent: readonly (string | Uint8Array)[] = [];
    client.socket.on("close", (event) => { unsent = event.unsent; });
    client.socket.close(4001, "bye");
    await time.pass(2900);
    assert.equal(client.socket.state, "closing");
    assert.equal(session.ended, null);
    await time.pass(100);
    assert.equal(client.told.at(-1), "close 4001");
    assert.deepEqual(unsent, ["never"]);
    assert.deepEqual(session.ended, { code: 4001, reason: "bye", by: "client" });
    for (const socket of server.sockets) assert.deepEqual(socket.closedWith, [4001, "bye"]);
  });

  test(`by ${transport}: a close while there is no carrier is told to the server`, async (t) => {
    const time = new Time(t);
    const server = new FakeServer();
    const client = new Client(server, { transports: [transport] });
    await time.pass(10_000);
    const { session } = server;
    server.obstacles.set(transport, "cut");
    session.cut();
    await settle();
    assert.equal(client.socket.state, "reconnecting");
    client.socket.close(4001, "bye");
    await settle();
    assert.equal(client.told.at(-1), "close 4001");
    assert.deepEqual(session.ended, { code: 4001, reason: "bye", by: "client" });
    assert.equal(server.requests.at(-1)!.keepalive, true);
  });

  test(`by ${transport}: a carrier that is lost during a close is no reason not to tell the server`, async (t) => {
    const time = new Time(t);
    const server = new FakeServer();
    const client = new Client(server, { transports: [transport] });
    await time.pass(10_000);
    const { session } = server;
    session.appetite = 0;
    client.socket.send("never");
    client.socket.close(4001, "bye");
    await settle();
    session.cut();
    await settle();
    assert.equal(client.told.at(-1), "close 4001");
    assert.deepEqual(session.ended, { code: 4001, reason: "bye", by: "client" });
  });

  test(`by ${transport}: a session whose server has crashed is given up when it has been away for too long`, async (t) => {
    const time = new Time(t);
    const server = new FakeServer();
    const client = new Client(server, { transports: [transport] });
    await time.pass(10_000);
    server.session.crash();
    client.socket.send("kept");
    await time.pass(1.5 * 25_000 - 1);
    assert.equal(server.sessions.length, 1, "until then it may go on");
    assert.equal(client.socket.state, "reconnecting");
    await time.pass(5000 + 10_000); // an attempt, and a pause, which are no longer
    assert.deepEqual(client.told.slice(-2), ["open", "reopen 1"]);
    assert.deepEqual(server.session.inbox, ["kept"]);
    assert.equal(client.socket.buffered, 0);
  });
}

test("a session that was away, but not for too long, goes on", async (t) => {
  const time = new Time(t);
  const server = new FakeServer();
  const client = new Client(server, { transports: ["websocket"] });
  for (let round = 0; round < 3; round++) {
    await time.pass(10_000);
    server.session.crash();
    await time.pass(30_000);
    server.session.crashed = false;
    await time.pass(30_000);
    assert.equal(client.socket.state, "open");
  }
  assert.equal(server.sessions.length, 1);
});
