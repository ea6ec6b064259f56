import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeServer, type Obstacle } from "./server.js";
import { Client, Time } from "./support.js";

/** Numbers that look random and are the same each time (mulberry32). */
function chance(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What was in use, in all of these tests. */
const used = new Set<string | null>();

for (let seed = 1; seed <= 30; seed++) {
  test(`whatever is cut, swallowed or let through, nothing is lost, doubled or out of order (${seed})`, async (t) => {
    const random = chance(seed);
    const time = new Time(t, 0.5);
    const pick = <Item>(...items: Item[]): Item => items[Math.floor(random() * items.length)]!;
    const server = new FakeServer();
    const client = new Client(server, { returnAfter: 2000, maxReturnAfter: 4000 });
    const sent: string[] = [];
    const said: string[] = [];
    const number = (message: string | Uint8Array): string => (typeof message === "string" ? message : `bytes ${message[0]}`);
    const next = (list: string[]): string | Uint8Array<ArrayBuffer> => {
      const at = list.length % 256;
      const message = random() < 0.3 ? Uint8Array.of(at) : `text ${at}`;
      list.push(number(message));
      return message;
    };

    for (let step = 0; step < 150; step++) {
      for (let count = pick(0, 1, 1, 3); count > 0; count--) client.socket.send(next(sent));
      if (server.sessions.length) for (let count = pick(0, 1, 1, 3); count > 0; count--) server.session.send(next(said));
      const what = pick("websocket", "event-stream", "long-poll", "post", "lose", "die", "buffer", "end") as never;
      if (random() < 0.2) {
        if (what === "lose") server.sockets.at(-1)?.lose();
        else if (what === "die") server.sockets.forEach((socket) => { socket.dead = true; });
        else if (what === "end") server.session?.cut();
        else if (what === "buffer") server.buffers = !server.buffers;
        else server.obstacles.set(what, pick<Obstacle>("cut", "silence", 503, 502));
      }
      if (random() < 0.3) server.obstacles.clear();
      used.add(client.socket.transport);
      await time.pass(pick(1, 50, 400, 3000));
    }
    server.obstacles.clear();
    server.buffers = false;
    await time.pass(120_000);
    assert.equal(server.sessions.filter(({ kept, inbox, carrier }) => carrier || kept.length || inbox.length).length, 1);
    assert.deepEqual(server.session.inbox.map(number), sent);
    assert.deepEqual(client.messages.map(number), said);
    assert.equal(client.socket.transport, "websocket");
  });
}

test("all transports were in use", () => {
  assert.deepEqual([...used].sort(), ["event-stream", "long-poll", null, "websocket"].sort());
});
