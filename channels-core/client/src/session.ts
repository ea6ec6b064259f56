import { encode, type Batch, type Message } from "./batch.js";
import { BufferFullError } from "./types.js";

/** After so many messages, or bytes, the server is told that they are here. The wire allows for twice that. */
const ACK_MESSAGES = 32;
const ACK_BYTES = 32 * 1024;
/** What a message costs beside its bytes. */
const OVERHEAD = 32;

interface Kept {
  readonly message: Message;
  readonly size: number;
}

/** What the server says when it opens a session, or goes on with one. */
export interface Opened {
  readonly session: string;
  readonly window: number;
  readonly subprotocol: string | null;
  readonly taken?: number;
}

/** The numbers of both directions, and what was sent and not taken. It knows no transport. */
export class Session {
  id: string | null = null;
  /** Seconds that the server holds a poll. */
  window = 25;
  subprotocol: string | null = null;
  /** The last message that came. */
  received = 0;
  /** The bytes of all that is kept, and of what keeping costs. */
  amount = 0;
  /** A second carrier is told to go on behind what came so far: nothing later may be acknowledged until it does, or does not. */
  holds = false;
  #acked = 0;
  #unacked = 0;
  #first = 1;
  #kept: Kept[] = [];
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many messages are kept. */
  get kept(): number {
    return this.#kept.length;
  }

  /** The last message that the server took. */
  get taken(): number {
    return this.#first - 1;
  }

  /** Whether it is another session than before. */
  opened({ session, window, subprotocol, taken }: Opened): boolean {
    const fresh = session !== this.id;
    if (fresh) this.forget();
    this.id = session;
    this.window = window;
    this.subprotocol = subprotocol;
    if (taken !== undefined) this.take(taken);
    return fresh;
  }

  /** The session is lost. What was not taken is for the next one. */
  forget(): void {
    this.id = null;
    this.received = this.#acked = this.#unacked = 0;
    this.#first = 1;
  }

  /** Nothing is kept any more. */
  clear(): void {
    this.forget();
    this.#kept = [];
    this.amount = 0;
  }

  keep(message: Message): void {
    const size = OVERHEAD + byteLength(message);
    if (this.amount + size > this.#limit) {
      throw new BufferFullError(`${this.#kept.length} messages wait to be taken by the server (${this.#limit} bytes at most)`);
    }
    this.#kept.push({ message, size });
    this.amount += size;
  }

  take(upTo: number): void {
    for (const { size } of this.#kept.splice(0, Math.max(0, upTo - this.taken))) {
      this.amount -= size;
      this.#first++;
    }
  }

  /** What is kept behind number `after`, in order, with the number of each. */
  *untaken(after = this.taken): Generator<[number, Message]> {
    for (let number = Math.max(after + 1, this.#first); number - this.#first < this.#kept.length; number++) {
      yield [number, this.#kept[number - this.#first]!.message];
    }
  }

  /** The first messages that are not taken: so many, and so many bytes, but at least one. */
  batch(messages: number, bytes: number): Batch {
    let count = 0;
    for (let size = 0; count < Math.min(messages, this.#kept.length); count++) {
      size += this.#kept[count]!.size;
      if (count && size > bytes) break;
    }
    return encode(this.#first, this.#kept.slice(0, count).map(({ message }) => message));
  }

  /** The messages of these that are new. Throws if one between is missing. */
  receive(from: number, messages: readonly Message[]): readonly Message[] {
    if (from > this.received + 1) throw new Error(`message ${from} came after message ${this.received}`);
    const fresh = messages.slice(this.received + 1 - from);
    this.received += fresh.length;
    for (const message of fresh) this.#unacked += byteLength(message);
    return fresh;
  }

  /** Whether the server waits to be told what came. */
  get owesAck(): boolean {
    return !this.holds && (this.received - this.#acked >= ACK_MESSAGES || this.#unacked >= ACK_BYTES);
  }

  /** What to say of what came, if there is something new to say. */
  news(): { ack?: number } {
    return this.received > this.#acked && !this.holds ? { ack: this.ack() } : {};
  }

  /** The number to tell the server as come. */
  ack(): number {
    this.#acked = this.received;
    this.#unacked = 0;
    return this.received;
  }
}

function byteLength(message: Message): number {
  return typeof message === "string" ? new TextEncoder().encode(message).length : message.length;
}
