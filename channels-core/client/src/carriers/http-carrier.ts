import type { Session } from "../session.js";
import type { Transport } from "../types.js";
import type { Carrier, Failure, Listener, Settings } from "./carrier.js";
import { hangUp, Refusal } from "./http.js";
import { Uplink } from "./uplink.js";

/** What event streams and long polls have in common: all but the way down. */
export abstract class HttpCarrier implements Carrier {
  abstract readonly transport: Transport;
  protected readonly session: Session;
  protected readonly settings: Settings;
  protected readonly uplink: Uplink;
  protected readonly stopped = new AbortController();
  protected listener: Listener | null;

  constructor(session: Session, settings: Settings, listener: Listener, acks: boolean) {
    this.session = session;
    this.settings = settings;
    this.listener = listener;
    this.uplink = new Uplink(session, settings, acks, {
      taken: (upTo) => this.listener?.taken(upTo),
      failed: (failure) => this.fail(failure),
    });
    queueMicrotask(() => void this.#work());
  }

  /** The way down, until it ends. */
  protected abstract run(): Promise<void>;

  async #work(): Promise<void> {
    try {
      await this.run();
    } catch (error) {
      this.fail(error instanceof Refusal ? error.failure : { kind: "lost", reason: String(error) });
    }
  }

  flush(): void {
    this.uplink.flush();
  }

  probe(): void {
    // A poll has its window, and a stream its comments.
  }

  async end(code: number, reason: string): Promise<void> {
    await this.uplink.drained();
    await hangUp(this.session, this.settings, code, reason);
  }

  leave(): void {
    void hangUp(this.session, this.settings, 1001, "");
    this.drop();
  }

  drop(): void {
    this.listener = null;
    this.uplink.stop();
    this.stopped.abort();
  }

  protected fail(failure: Failure): void {
    const listener = this.listener;
    this.drop();
    listener?.failed(failure);
  }
}
