import assert from "node:assert/strict";
import { test } from "node:test";
import { ChannelsSocket, type MessageEvent, type State } from "@channels-rs/client";
import { FakeServer } from "./server.js";
import { settle } from "./support.js";

interface Told { readonly from: string }
interface Said { readonly text: string }

test("what is published works, and has the types of what comes and goes", async () => {
  const server = new FakeServer();
  const socket = new ChannelsSocket<Told, Said>("http://test/", server.options);
  const heard: string[] = [];
  socket.onmessage = (message) => heard.push(message.json().from);
  socket.on("message", (message: MessageEvent<Told>) => {
    // @ts-expect-error: there is no such field
    heard.push(String(message.json().nobody));
  });
  await settle();
  socket.sendJSON({ text: "hello" });
  // @ts-expect-error: it is not of the type that goes
  socket.sendJSON({ test: "hello" });
  // @ts-expect-error: a number is neither text nor bytes
  assert.throws(() => socket.send(7));
  // @ts-expect-error: there is no such event
  assert.throws(() => socket.on("massage", () => {}));
  server.session.send('{"from":"Ann"}');
  await settle();
  const state: State = socket.state;
  assert.equal(state, "open");
  assert.deepEqual(heard, ["Ann", "undefined"]);
  assert.deepEqual(server.session.inbox, ['{"text":"hello"}', '{"test":"hello"}']);
  socket.close();
  await settle();
  assert.equal(socket.state, "closed");
});
