import { fullJitter } from "./backoff.js";
import type { Message } from "./batch.js";
import type { Carrier, Failure, Settings } from "./carriers/carrier.js";
import { EventStreamCarrier } from "./carriers/event-stream.js";
import { hangUp } from "./carriers/http.js";
import { LongPollCarrier } from "./carriers/long-poll.js";
import { WebSocketCarrier } from "./carriers/websocket.js";
import { meaning } from "./codes.js";
import type { Opened, Session } from "./session.js";
import { Timers } from "./timers.js";
import type { CloseEvent, Transport } from "./types.js";

/** Milliseconds that a carrier has to live to count as one that works. */
const PROOF = 10_000;
/** The failure in a row with which a transport that has worked gives way to the next one. */
const PATIENCE = 3;
/** Milliseconds that a close may take. */
const CLOSING = 3000;
/** For so many windows the server keeps a session that has no carrier. */
const AWAY = 1.5;

const CARRIERS = { "websocket": WebSocketCarrier, "event-stream": EventStreamCarrier, "long-poll": LongPollCarrier };

/** How it ended. */
export type Close = Omit<CloseEvent, "unsent">;

/** Whom a link tells. */
export interface Owner {
  /** Messages flow, by this transport; `fresh` if the session is a new one. */
  linked(transport: Transport, fresh: boolean): void;
  /** There is no carrier; another one is being made. */
  unlinked(reason: string): void;
  received(messages: readonly Message[]): void;
  /** It is over. */
  ended(close: Close): void;
}

/** What is known of one transport. */
interface Path {
  readonly transport: Transport;
  /** It has worked. */
  proven: boolean;
  /** How often in a row it did not. */
  failures: number;
}

/** Keeps a session on a carrier: on which, when on another one, and when back on a better one. */
export class Link {
  readonly #session: Session;
  readonly #settings: Settings;
  readonly #owner: Owner;
  #paths: Path[];
  /** Which path is used, or tried. */
  #at = 0;
  #carrier: Carrier | null = null;
  /** What is being opened: in place of a carrier, or beside it, to return to a better path. */
  #opening: Carrier | null = null;
  #returning = false;
  /** Since when there is no carrier, in milliseconds of the clock. */
  #awaySince: number | null = null;
  #over = false;
  /** The close that was asked for. */
  #closing: Close | null = null;
  /** How many pauses there were since a carrier was proven. */
  #pauses = 0;
  /** How many attempts to return there were, and when the next one is due. */
  #returns = 0;
  #returnAt: number | null = null;
  readonly #timers = new Timers<"open" | "retry" | "proof" | "return" | "close">();

  constructor(session: Session, settings: Settings, owner: Owner) {
    this.#session = session;
    this.#settings = settings;
    this.#owner = owner;
    this.#paths = settings.transports.map((transport) => ({ transport, proven: false, failures: 0 }));
    this.#open(0);
  }

  /** There is something to send. */
  flush(): void {
    this.#carrier?.flush();
  }

  /** No use in waiting any longer. */
  hurry(): void {
    if (this.#timers.waits("retry")) this.#open(this.#at);
    this.#carrier?.probe();
  }

  /** The network is another one: perhaps it lets the first transport pass. */
  networkChanged(): void {
    this.hurry();
    this.#returns = 0;
    if (this.#timers.waits("return")) this.#return();
  }

  close(code: number, reason: string): void {
    this.#closing = { code, reason, status: null };
    this.#timers.stop();
    this.#opening?.drop();
    const carrier = this.#carrier;
    if (!carrier) return queueMicrotask(() => this.#hangUp());
    this.#timers.set("close", CLOSING, () => this.#hangUp());
    void carrier.end(code, reason).then(() => this.#end(this.#closing!));
  }

  /** Says goodbye while there is time; `kept` if the page may come back. */
  leave(kept: boolean): void {
    this.#timers.stop();
    this.#opening?.drop();
    this.#carrier?.leave(kept);
  }

  #open(at: number): void {
    this.#at = at;
    this.#returning = this.#session.holds = false;
    // Whoever is asked for it may not know that it is over, and wait for a server that has crashed.
    if (this.#awaySince !== null && Date.now() - this.#awaySince >= AWAY * this.#session.window * 1000) this.#session.forget();
    this.#start(this.#paths[at]!);
  }

  /** Tries a better path beside the one in use: the best one, and each time the next one of them. */
  #return(): void {
    const path = this.#paths[this.#returns++ % this.#at]!;
    this.#returnAt = null;
    this.#returning = this.#session.holds = true;
    this.#start(path);
  }

  #start(path: Path): void {
    this.#timers.clear("retry");
    this.#timers.clear("return");
    const carrier: Carrier = new CARRIERS[path.transport](this.#session, this.#settings, {
      opened: (opened) => this.#opened(carrier, path, opened),
      received: (from, messages) => {
        this.#owner.received(this.#session.receive(from, messages));
        if (this.#session.owesAck) this.flush();
      },
      taken: (upTo) => this.#session.take(upTo),
      failed: (failure) => this.#failed(carrier, path, failure),
    });
    this.#opening = carrier;
    this.#timers.set("open", this.#settings.openTimeout, () => {
      carrier.drop();
      this.#failed(carrier, path, { kind: "lost", reason: `no ${path.transport} within ${this.#settings.openTimeout} ms` });
    });
  }

  #opened(carrier: Carrier, path: Path, opened: Opened): void {
    this.#timers.clear("open");
    this.#opening = this.#awaySince = null;
    this.#returning = this.#session.holds = false;
    this.#carrier?.drop();
    this.#carrier = carrier;
    this.#at = this.#paths.indexOf(path);
    this.#timers.set("proof", PROOF, () => {
      path.proven = true;
      path.failures = this.#pauses = 0;
      if (this.#at === 0) this.#returns = 0;
    });
    this.#planReturn();
    this.#owner.linked(path.transport, this.#session.opened(opened));
  }

  #planReturn(): void {
    if (this.#at === 0) {
      this.#returnAt = null;
      return;
    }
    const { returnAfter, maxReturnAfter } = this.#settings;
    const pause = Math.min(maxReturnAfter, returnAfter * 2 ** this.#returns) * (0.5 + Math.random());
    this.#returnAt ??= Date.now() + pause; // which stands, however often the carrier is another one meanwhile
    this.#timers.set("return", Math.max(0, this.#returnAt - Date.now()), () => this.#return());
  }

  #failed(carrier: Carrier, path: Path, failure: Failure): void {
    const over = failure.kind === "closed" || failure.kind === "gone";
    if (carrier === this.#opening) {
      const returning = this.#returning;
      this.#opening = null;
      this.#returning = this.#session.holds = false;
      this.#timers.clear("open");
      if (returning && !over) return this.#didNotReturn();
      this.#carrier?.drop();
    } else {
      this.#timers.clear("proof");
      this.#timers.clear("return");
      if (this.#returning && !over) {
        this.#carrier = null; // probably because the new one takes over
        return;
      }
      this.#opening?.drop();
    }
    this.#opening = this.#carrier = null;
    if (this.#closing) return over ? this.#end(this.#closing) : this.#hangUp();
    this.#goOn(path, failure);
  }

  #didNotReturn(): void {
    if (!this.#carrier) return this.#open(this.#at);
    this.#planReturn();
    this.flush();
  }

  /** There is no carrier. */
  #goOn(path: Path, failure: Failure): void {
    const next = this.#at + 1 < this.#paths.length ? this.#at + 1 : null;
    this.#awaySince ??= Date.now();
    this.#owner.unlinked(failure.reason);
    switch (failure.kind) {
      case "lost":
        if (++path.failures < (path.proven ? PATIENCE : 1)) return this.#retry(this.#at);
        return next === null ? this.#retry(0) : this.#open(next);
      case "busy":
        return this.#retry(0, failure.retryAfter);
      case "unsupported":
        this.#paths = this.#paths.filter((other) => other !== path);
        if (!this.#paths.length) return this.#end({ code: 1006, reason: failure.reason, status: null });
        return next === null ? this.#retry(0) : this.#open(this.#at);
      case "refused": // perhaps not by the server, but by something before it
        return next === null ? this.#end({ code: 1006, reason: failure.reason, status: failure.status }) : this.#open(next);
      case "gone":
        return this.#renew(true);
      case "closed": {
        const { code, reason } = failure;
        const means = meaning(code);
        return means === "final" ? this.#end({ code, reason, status: null }) : this.#renew(means === "at once");
      }
    }
  }

  /** Another session; at once unless that was tried just now. */
  #renew(atOnce: boolean): void {
    this.#session.forget();
    if (!atOnce || this.#pauses) return this.#retry(this.#at);
    this.#pauses++;
    this.#open(this.#at);
  }

  #retry(at: number, least = 0): void {
    this.#at = at;
    const { minDelay, maxDelay } = this.#settings;
    this.#timers.set("retry", least + fullJitter(this.#pauses++, minDelay, maxDelay), () => this.#open(at));
  }

  /** Ends as was asked for, where no carrier says so, or not in time. */
  #hangUp(): void {
    const close = this.#closing!;
    void hangUp(this.#session, this.#settings, close.code, close.reason);
    this.#end(close);
  }

  #end(close: Close): void {
    if (this.#over) return;
    this.#over = true;
    this.#timers.stop();
    this.#carrier?.drop();
    this.#owner.ended(close);
  }
}
