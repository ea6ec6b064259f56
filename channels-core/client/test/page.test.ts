import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { FakeServer } from "./server.js";
import { Client, settle, Time } from "./support.js";

/** What a browser has around a socket, without a browser. */
class Page {
  readonly #window = new EventTarget();
  readonly #document = Object.assign(new EventTarget(), { visibilityState: "visible" });

  constructor(test: TestContext) {
    const globals = { document: this.#document, addEventListener: this.#window.addEventListener.bind(this.#window) };
    for (const [name, value] of Object.entries(globals)) {
      Object.defineProperty(globalThis, name, { value, configurable: true });
      test.after(() => Reflect.deleteProperty(globalThis, name));
    }
  }

  tell(name: "online" | "pagehide" | "pageshow", persisted = false): void {
    this.#window.dispatchEvent(Object.assign(new Event(name), { persisted }));
  }

  look(state: "visible" | "hidden"): void {
    this.#document.visibilityState = state;
    this.#document.dispatchEvent(new Event("visibilitychange"));
  }
}

for (const transport of ["event-stream", "long-poll"] as const) {
  test(`by ${transport}: a page that goes away says so with a request that outlives it`, async (t) => {
    new Time(t);
    const page = new Page(t);
    const server = new FakeServer();
    new Client(server, { transports: [transport] });
    await settle();
    page.tell("pagehide");
    await settle();
    assert.deepEqual(server.session.ended, { code: 1001, reason: "", by: "client" });
    assert.equal(server.requests.at(-1)!.keepalive, true);
    assert.equal(server.sessions.length, 1);
  });
}

test("a page that comes back has a new session, and what was not taken is sent in it", async (t) => {
  const time = new Time(t);
  const page = new Page(t);
  const server = new FakeServer();
  const client = new Client(server);
  await settle();
  page.tell("pagehide", true);
  client.socket.send("written on the way out");
  await time.pass(1000);
  assert.deepEqual(server.session.ended, { code: 1005, reason: "", by: "client" });
  page.tell("pageshow", true);
  await settle();
  assert.deepEqual(client.told.slice(3), ["reconnecting", "open", "reopen 1"]);
  assert.deepEqual(server.session.inbox, ["written on the way out"]);
});

test("another network is a reason to look at once, also for a websocket where there was none", async (t) => {
  const time = new Time(t);
  const page = new Page(t);
  const server = new FakeServer();
  server.obstacles.set("websocket", "cut");
  const client = new Client(server);
  await time.pass(1000);
  server.obstacles.clear();
  page.tell("online");
  await settle();
  assert.equal(client.socket.transport, "websocket");

  await time.pass(10_000);
  server.sockets.at(-1)!.lose();
  assert.equal(client.socket.state, "reconnecting");
  page.tell("online");
  await settle();
  assert.equal(client.socket.state, "open");
});

test("who looks at the page again does not wait for a pause, nor for a dead socket", async (t) => {
  const time = new Time(t);
  const page = new Page(t);
  const server = new FakeServer();
  const client = new Client(server);
  await time.pass(10_000);
  server.sockets[0]!.lose();
  page.look("hidden");
  assert.equal(client.socket.state, "reconnecting");
  page.look("visible");
  await settle();
  assert.equal(client.socket.state, "open");

  server.sockets[1]!.dead = true;
  page.look("visible");
  await time.pass(10_000 + 500);
  assert.equal(client.socket.state, "open");
  assert.equal(server.sockets.length, 3);
});

test("a closed socket does not care for its page", async (t) => {
  const time = new Time(t);
  const page = new Page(t);
  const server = new FakeServer();
  const client = new Client(server);
  client.socket.close();
  await time.pass(0);
  const { length } = server.log;
  for (const name of ["online", "pagehide", "pageshow"] as const) page.tell(name, true);
  await time.pass(60_000);
  assert.equal(server.log.length, length);
});
