import { decode, type Batch } from "../batch.js";
import type { Opened, Session } from "../session.js";
import type { Listener, Settings } from "./carrier.js";
import { HttpCarrier } from "./http-carrier.js";
import { ask } from "./http.js";

/** One request after the other, each held by the server until there is something. */
export class LongPollCarrier extends HttpCarrier {
  readonly transport = "long-poll";
  #goOn: (() => void) | null = null;

  constructor(session: Session, settings: Settings, listener: Listener) {
    super(session, settings, listener, false);
  }

  protected async run(): Promise<void> {
    await this.#open();
    this.flush();
    while (this.listener) {
      // A poll acknowledges; and it would take the session back from a socket that takes it over.
      if (this.session.holds) await new Promise<void>((resolve) => { this.#goOn = resolve; });
      else await this.#poll();
    }
  }

  override flush(): void {
    if (!this.session.holds) this.#goOn?.();
    super.flush();
  }

  async #open(): Promise<void> {
    const { id, window, subprotocol } = this.session;
    if (id !== null) {
      // A poll may be answered late. This says at once whether the session is there.
      const { taken } = await this.uplink.greet();
      this.listener?.opened({ session: id, window, subprotocol, ...(taken !== undefined && { taken }) });
      return;
    }
    const request = { method: "POST", signal: this.stopped.signal } as const;
    const opened = await ask(this.session, this.settings, request, (response) => response.json() as Promise<Opened>);
    this.listener?.opened(opened);
  }

  async #poll(): Promise<void> {
    const window = this.session.window * 1000;
    const asked = Date.now();
    const request = {
      headers: { "Channels-Ack": String(this.session.ack()) },
      signal: this.stopped.signal,
      timeout: window + this.settings.requestTimeout,
    };
    const batch = await ask(this.session, this.settings, request, (response) => response.json() as Promise<Batch>);
    if (batch.from !== undefined) this.listener?.received(batch.from, decode(batch));
    if (batch.close) return this.fail({ kind: "closed", ...batch.close });
    if (batch.from === undefined && Date.now() - asked < window / 2) {
      this.fail({ kind: "lost", reason: "another carrier took over" });
    }
  }
}
