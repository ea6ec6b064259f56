import assert from "node:assert/strict";
import { test } from "node:test";
import { fullJitter } from "../src/backoff.js";
import { fromBase64, toBase64 } from "../src/base64.js";
import { decode, encode } from "../src/batch.js";
import { meaning } from "../src/codes.js";
import { StreamParser, type StreamEvent } from "../src/carriers/stream-parser.js";
import { Session } from "../src/session.js";
import { settings } from "../src/settings.js";
import { Silence } from "../src/silence.js";
import { BufferFullError } from "../src/types.js";
import { Time } from "./support.js";

test("bytes of every value and length survive base64", () => {
  const bytes = Uint8Array.from({ length: 20_000 }, (_, at) => at * 7 + (at >> 8));
  for (const length of [0, 1, 2, 3, 255, 256, 8191, 8192, 8193, 20_000]) {
    const some = bytes.subarray(0, length);
    assert.equal(toBase64(some), Buffer.from(some).toString("base64"));
    assert.deepEqual(fromBase64(toBase64(some)), some.slice());
  }
});

test("a batch has texts as strings and bytes as base64, and is empty without messages", () => {
  const batch = encode(7, ["a text", Uint8Array.of(0, 1, 2)]);
  assert.deepEqual(batch, { from: 7, messages: ["a text", { b: "AAEC" }] });
  assert.deepEqual(decode(batch), ["a text", Uint8Array.of(0, 1, 2)]);
  assert.deepEqual(encode(7, []), {});
  assert.deepEqual(decode({}), []);
});

test("each close code means what the table in the documentation says", () => {
  const means = (from: number, to: number): string => {
    const all = new Set(Array.from({ length: to - from + 1 }, (_, at) => meaning(from + at)));
    return [...all].join(" or ");
  };
  for (const code of [1000, 1002, 1003, 1007, 1008, 1009, 1010, 3000, 3003]) assert.equal(meaning(code), "final", `${code}`);
  for (const code of [1001, 1005, 1006, 1014, 1015, 4409]) assert.equal(meaning(code), "lost", `${code}`);
  for (const code of [4000, 4410]) assert.equal(meaning(code), "at once", `${code}`);
  for (const code of [1011, 1012, 1013, 3001, 3999, 4408, 4429]) assert.equal(meaning(code), "again", `${code}`);
  assert.equal(means(4001, 4408), "again");
  assert.equal(means(4411, 4499), "again");
  assert.equal(means(4500, 4999), "final");
});

test("a pause is anything up to a bound that doubles and stops", (t) => {
  t.mock.method(Math, "random", () => 1);
  assert.deepEqual([0, 1, 2, 5, 6, 50, 5000].map((attempt) => fullJitter(attempt, 500, 30_000)), [500, 1000, 2000, 16_000, 30_000, 30_000, 30_000]);
  t.mock.method(Math, "random", () => 0);
  assert.equal(fullJitter(6, 500, 30_000), 0);
});

test("a stream is read the same in whatever pieces it comes, and with each kind of line end", () => {
  const text = ":hello\nretry: 2000\nevent: open\ndata: {\"session\": \"s\"}\n\nid: s.1\ndata: one\ndata:two\ndata\n\n:\n\n"
    + "event: binary\nid: s.2\ndata: AAEC\n\nid: s.3\ndata:\n\nid: s.4\ndata: 🦀: é\n\nevent: lost\n\n";
  const expected: StreamEvent[] = [
    { name: "open", data: "{\"session\": \"s\"}", id: "" },
    { name: "message", data: "one\ntwo\n", id: "s.1" },
    { name: "binary", data: "AAEC", id: "s.2" },
    { name: "message", data: "", id: "s.3" },
    { name: "message", data: "🦀: é", id: "s.4" },
  ];
  for (const end of ["\n", "\r\n", "\r"]) {
    const stream = text.replaceAll("\n", end);
    for (let at = 0; at <= stream.length; at++) {
      const parser = new StreamParser();
      // Where a CR is the last, what it ends is only known with the next character.
      const events = [stream.slice(0, at), stream.slice(at), ":"].flatMap((part) => [...parser.push(part)]);
      assert.deepEqual(events, expected, `${JSON.stringify(end)}, cut at ${at}`);
    }
  }
});

test("a session gives each new message once, whatever comes again, and misses none", () => {
  const session = new Session(1000);
  assert.deepEqual(session.receive(1, ["a", "b"]), ["a", "b"]);
  assert.deepEqual(session.receive(1, ["a", "b"]), []);
  assert.deepEqual(session.receive(2, ["b", "c"]), ["c"]);
  assert.throws(() => session.receive(5, ["e"]), /message 5 came after message 3/);
  assert.equal(session.received, 3);
});

test("a session keeps what is not taken, and numbers it anew for another session", () => {
  const session = new Session(1000);
  for (const message of ["a", "b", "c"]) session.keep(message);
  session.opened({ session: "x", window: 25, subprotocol: null });
  session.take(1);
  assert.deepEqual([...session.untaken()], [[2, "b"], [3, "c"]]);
  assert.deepEqual([...session.untaken(2)], [[3, "c"]]);
  session.take(0);
  assert.equal(session.kept, 2);
  assert.equal(session.opened({ session: "x", window: 25, subprotocol: null, taken: 2 }), false);
  assert.deepEqual([...session.untaken()], [[3, "c"]]);
  assert.equal(session.opened({ session: "y", window: 25, subprotocol: null, taken: 0 }), true);
  assert.deepEqual([...session.untaken()], [[1, "c"]]);
});

test("what is kept is bounded in bytes, of UTF-8 and of itself", () => {
  const session = new Session(100);
  session.keep("é".repeat(9)); // 18 and 32
  assert.equal(session.amount, 50);
  session.keep(new Uint8Array(18));
  assert.throws(() => session.keep(""), BufferFullError);
  assert.throws(() => session.keep(""), /2 messages wait to be taken by the server \(100 bytes at most\)/);
  session.take(1);
  session.keep("");
  assert.equal(session.amount, 82);
});

test("a batch has no more messages and bytes than it may, but one", () => {
  const session = new Session(1e6);
  for (const message of ["x".repeat(68), "y".repeat(68), "z".repeat(68)]) session.keep(message); // 100 each
  const length = (messages: number, bytes: number): number => session.batch(messages, bytes).messages?.length ?? 0;
  assert.deepEqual([length(9, 1), length(9, 200), length(9, 299), length(9, 300), length(2, 300)], [1, 2, 2, 3, 2]);
  assert.deepEqual(new Session(1).batch(9, 9), {});
});

test("the server is told what came after 32 messages or 32 KiB", () => {
  const session = new Session(1000);
  session.receive(1, new Array<string>(31).fill("x"));
  assert.equal(session.owesAck, false);
  session.receive(32, ["x"]);
  assert.equal(session.owesAck, true);
  assert.deepEqual([session.news(), session.news(), session.owesAck], [{ ack: 32 }, {}, false]);
  session.receive(33, [new Uint8Array(32 * 1024)]);
  assert.equal(session.owesAck, true);
});

test("silence is noticed after its time, each time, and not while something is heard", async (t) => {
  const time = new Time(t);
  let broken = 0;
  const silence = new Silence(1000, () => broken++);
  await time.pass(900);
  silence.heard();
  await time.pass(900);
  assert.equal(broken, 0);
  await time.pass(100);
  assert.equal(broken, 1);
  await time.pass(1000);
  assert.equal(broken, 2);
  silence.stop();
  await time.pass(5000);
  assert.equal(broken, 2);
});

test("a timer that was held back with its page gives what came meanwhile a chance to be heard", async (t) => {
  const time = new Time(t);
  let broken = 0;
  const silence = new Silence(1000, () => broken++);
  time.sleep(60_000);
  await time.pass(999);
  assert.equal(broken, 0);
  await time.pass(1);
  assert.equal(broken, 1);
  silence.stop();
});

test("an address may be of http or ws, and of nothing else", () => {
  const address = (url: string): string => settings(url, {}).url.href;
  assert.equal(address("ws://test/a?b#c"), "http://test/a?b");
  assert.equal(address("wss://test/a"), "https://test/a");
  assert.equal(address("https://test/a"), "https://test/a");
  assert.throws(() => address("ftp://test/a"), /neither http\(s\) nor ws\(s\)/);
  assert.throws(() => address("/relative"), /"\/relative" is no URL; where there is no page, it has to be absolute/);
});

test("an option that makes no sense is refused, with what would make some", () => {
  const refuses = (options: object, message: RegExp): void => {
    assert.throws(() => settings("http://test/", options), message, JSON.stringify(options));
  };
  refuses({ transport: ["websocket"] }, /there is no option transport; there are protocols, token, transports,/);
  for (const transports of [[], ["websockets"], "websocket", null]) {
    refuses({ transports }, /transports is a list of some of "websocket", "event-stream", "long-poll", not /);
  }
  for (const openTimeout of [-1, NaN, Infinity, "soon", null]) refuses({ openTimeout }, /openTimeout is a number from 0 to 2147483647, not /);
  refuses({ protocols: "chat v1" }, /"chat v1" is no name of a subprotocol/);
  refuses({ headers: { "not a name": "x" } }, /not a name/);
  const unsaid: object = { openTimeout: undefined };
  assert.equal(settings("http://test/", unsaid).openTimeout, 5000);
});
