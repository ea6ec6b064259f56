import type { TestContext } from "node:test";
import { ChannelsSocket, type Events, type Options } from "../src/channels.js";
import { FakeServer } from "./server.js";

/** Time stands still until it is told to pass, and chance has no say: pauses are as long as they may be. */
export class Time {
  #now = 0;
  #next = 1;
  readonly #timers = new Map<number, { due: number; run: () => void }>();

  constructor(test: TestContext, random = 1) {
    test.mock.method(Math, "random", () => random);
    test.mock.method(Date, "now", () => this.#now);
    test.mock.method(globalThis, "setTimeout", ((run: () => void, after = 0) => {
      this.#timers.set(this.#next, { due: this.#now + after, run });
      return this.#next++;
    }) as typeof setTimeout);
    test.mock.method(globalThis, "clearTimeout", (id: number) => void this.#timers.delete(id));
  }

  async pass(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    await settle();
    for (;;) {
      const [first] = [...this.#timers].sort(([a, one], [b, other]) => one.due - other.due || a - b);
      if (!first || first[1].due > end) break;
      const [id, { due, run }] = first;
      this.#now = Math.max(this.#now, due);
      this.#timers.delete(id);
      run();
      await settle();
    }
    this.#now = end;
  }

  /** The machine sleeps: time goes on, and timers fire late. */
  sleep(milliseconds: number): void {
    this.#now += milliseconds;
  }
}

/** Until nothing is left to do but to wait for time. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 12; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** A client at a fake server, and all that it says of itself. */
export class Client {
  readonly socket: ChannelsSocket<unknown, unknown>;
  readonly told: string[] = [];
  readonly messages: (string | Uint8Array)[] = [];

  constructor(readonly server: FakeServer, options: Options = {}) {
    this.socket = new ChannelsSocket("http://test/ws/", { ...server.options, ...options });
    const tell = <Name extends keyof Events<unknown>>(name: Name, say: (event: Events<unknown>[Name]) => string): void => {
      this.socket.on(name, (event) => this.told.push(say(event)));
    };
    tell("open", ({ transport }) => `open ${transport}`);
    tell("reopen", ({ resent }) => `reopen ${resent}`);
    tell("transport", ({ transport }) => `transport ${transport}`);
    tell("state", ({ state }) => state);
    tell("close", ({ code, status }) => `close ${status ?? code}`);
    this.socket.on("message", ({ data }) => this.messages.push(data));
  }
}
