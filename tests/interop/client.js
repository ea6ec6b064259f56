// Node's `ws` against the server of tests/interop.rs: node client.js ws://127.0.0.1:PORT AGREED

import assert from "node:assert/strict";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";

const SIZES = [0, 1, 125, 126, 65_535, 65_536, 1_048_575];
const UNICODE = "é读🦀";
const [base, agreed] = process.argv.slice(2);
// What is agreed on for the routes that compress.
const AGREED = JSON.parse(agreed);

async function open(url, protocols, options) {
  const socket = new WebSocket(url, protocols, options);
  const closed = new Promise((resolve) => socket.on("close", (code, reason) => resolve([code, reason.toString()])));
  const [[response]] = await Promise.all([once(socket, "upgrade"), once(socket, "open")]);
  return { socket, closed, extensions: response.headers["sec-websocket-extensions"] };
}

async function answer(socket) {
  const [data, isBinary] = await once(socket, "message");
  return isBinary ? data : data.toString();
}

async function talk(base, path, perMessageDeflate) {
  const { socket, closed, extensions } = await open(`${base}/${path}/node`, ["chat.v1", "chat.v2"], { perMessageDeflate });
  assert.equal(socket.protocol, "chat.v2");
  assert.equal(extensions, perMessageDeflate ? AGREED[path] : undefined);

  for (const size of SIZES) {
    const bytes = Buffer.from(Uint8Array.from({ length: size }, (_, n) => n % 251));
    for (const message of ["x".repeat(size), UNICODE.repeat(size / 16), bytes]) {
      const back = answer(socket);
      socket.send(message);
      assert.deepEqual(await back, message);
    }
  }

  let back = answer(socket);
  for (const part of [UNICODE, "", "and "]) socket.send(part, { fin: false });
  socket.send("more");
  assert.equal(await back, `${UNICODE}and more`);
  back = answer(socket);
  socket.send(Buffer.alloc(70_000, 0xff), { fin: false });
  socket.send(Buffer.from([0]));
  assert.deepEqual(await back, Buffer.concat([Buffer.alloc(70_000, 0xff), Buffer.from([0])]));

  for (const payload of [Buffer.alloc(0), Buffer.from([0xff, 0]), Buffer.alloc(125, "x")]) {
    const pong = once(socket, "pong");
    socket.ping(payload);
    assert.deepEqual((await pong)[0], payload);
  }

  socket.close(4001, "再见");
  assert.deepEqual(await closed, [4001, ""]);

  const other = await open(`${base}/${path}/node?close=4007`, [], { perMessageDeflate });
  assert.deepEqual(await other.closed, [4007, "no such room"]);
}

// The server pings each second, and closes when it is not answered.
async function pinged(base) {
  const { socket } = await open(`${base}/pinged/node`);
  let pings = 0;
  socket.on("ping", () => (pings += 1));
  for (let n = 0; n < 30; n += 1) {
    await sleep(100);
    const back = answer(socket);
    socket.send(String(n));
    assert.equal(await back, String(n));
  }
  assert.ok(pings > 0, "no ping came");
  socket.terminate();
}

const plain = ["plain", "deflate"].map((path) => talk(base, path, false));
const deflated = ["plain", ...Object.keys(AGREED)].map((path) => talk(base, path, true));
await Promise.all([...plain, ...deflated]);
// By itself: while others compress, this thread answers no ping.
await pinged(base);
