import type { Batch } from "../batch.js";
import type { Session } from "../session.js";
import type { Failure, Settings } from "./carrier.js";
import { ask, Refusal } from "./http.js";

/** Bytes of messages in one batch. One that is larger goes alone. */
const BATCH_BYTES = 64 * 1024;
/** Messages in one batch, until the server says that this was too much. */
const BATCH_MESSAGES = 256;
/** Milliseconds until a server that took nothing is asked again. */
const REST = 250;
/** Milliseconds that the other direction has to say how a session ended which this one finds ended. */
const LAST_WORDS = 2000;

interface Told {
  taken(upTo: number): void;
  failed(failure: Failure): void;
}

/** From the client to the server over HTTP: one request at a time, each with all that waits. */
export class Uplink {
  readonly #session: Session;
  readonly #settings: Settings;
  readonly #acks: boolean;
  readonly #told: Told;
  readonly #stop = new AbortController();
  #most = BATCH_MESSAGES;
  #busy = false;
  #drained: (() => void) | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `acks`: whether it also says what has come. */
  constructor(session: Session, settings: Settings, acks: boolean, told: Told) {
    this.#session = session;
    this.#settings = settings;
    this.#acks = acks;
    this.#told = told;
  }

  flush(): void {
    if (!this.#busy && !this.#stop.signal.aborted) void this.#work();
  }

  async #work(): Promise<void> {
    this.#busy = true;
    try {
      while (this.#session.kept || (this.#acks && this.#session.owesAck)) await this.#post();
      this.#busy = false;
      this.#drained?.();
    } catch (error) {
      // It stays busy: whoever is told of a failure lets go of this.
      if (!this.#stop.signal.aborted) this.#failed(error);
    }
  }

  async #post(): Promise<void> {
    const session = this.#session;
    const batch = session.batch(this.#most, BATCH_BYTES);
    const count = batch.messages?.length ?? 0;
    try {
      const before = session.taken;
      const { taken } = await this.#ask(this.#acks ? { ...batch, ...session.news() } : batch);
      this.#told.taken(taken ?? before);
      if (count && session.taken === before) await this.#rest();
    } catch (error) {
      if (!(error instanceof Refusal && error.failure.kind === "refused" && error.failure.status === 413)) throw error;
      if (count < 2) throw new Refusal({ kind: "closed", code: 1009, reason: "the server does not take so long a message" });
      this.#most = Math.ceil(count / 2);
    }
  }

  #ask(batch: Batch): Promise<Batch> {
    const request = {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(batch),
      signal: this.#stop.signal,
      timeout: this.#settings.requestTimeout,
    } as const;
    return ask(this.#session, this.#settings, request, (response) => response.json() as Promise<Batch>);
  }

  #rest(): Promise<void> {
    return new Promise((resolve) => { this.#timer = setTimeout(resolve, REST); });
  }

  #failed(error: unknown): void {
    const failure: Failure = error instanceof Refusal ? error.failure : { kind: "lost", reason: String(error) };
    if (failure.kind !== "gone") return this.#told.failed(failure);
    this.#timer = setTimeout(() => this.#told.failed(failure), LAST_WORDS);
  }

  /** Asks whether the session is there, and what it has taken. */
  greet(): Promise<Batch> {
    return this.#ask({ ack: this.#session.ack() });
  }

  /** When all that is kept is taken. */
  drained(): Promise<void> {
    if (!this.#busy && !this.#session.kept) return Promise.resolve();
    return new Promise((resolve) => {
      this.#drained = resolve;
      this.flush();
    });
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#stop.abort();
  }
}
