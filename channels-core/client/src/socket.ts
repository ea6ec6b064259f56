import type { Message } from "./batch.js";
import { Link, type Close } from "./link.js";
import { Listeners } from "./listeners.js";
import { watchPage } from "./page.js";
import { Session } from "./session.js";
import { settings } from "./settings.js";
import type {
  CloseEvent, Data, Events, MessageEvent, OpenEvent, Options, ReopenEvent, State, StateEvent, Transport, TransportEvent,
} from "./types.js";

/**
 * A connection to a consumer that outlives sockets, servers and networks. It opens at once.
 *
 * ```ts
 * const socket = new ChannelsSocket<FromServer, ToServer>("/ws/chat/lobby/");
 * socket.onmessage = (message) => show(message.json());
 * socket.sendJSON({ text: "hello" });
 * ```
 *
 * `In` is what `message.json()` gives, and `Out` what `sendJSON` takes; neither is checked while it runs.
 */
export class ChannelsSocket<In = unknown, Out = unknown> {
  onopen: ((event: OpenEvent) => void) | null = null;
  onmessage: ((event: MessageEvent<In>) => void) | null = null;
  onstate: ((event: StateEvent) => void) | null = null;
  ontransport: ((event: TransportEvent) => void) | null = null;
  onreopen: ((event: ReopenEvent) => void) | null = null;
  onclose: ((event: CloseEvent) => void) | null = null;

  readonly #settings;
  readonly #session: Session;
  readonly #listeners = new Listeners<In>();
  #link: Link | null = null;
  #state: State = "closed";
  #transport: Transport | null = null;
  #wasOpen = false;
  #unwatch = (): void => {};

  /**
   * `url` may be relative to the page, and of any of `http(s)` and `ws(s)`. Throws a `SyntaxError` or `TypeError` if it is none,
   * or an option makes no sense.
   */
  constructor(url: string | URL, options: Options = {}) {
    this.#settings = settings(url, options);
    this.#session = new Session(this.#settings.maxBufferedAmount);
    for (const name of ["open", "message", "state", "transport", "reopen", "close"] as const) {
      this.#listeners.add(name, (event) => (this[`on${name}`] as ((event: unknown) => void) | null)?.(event));
    }
    this.open();
  }

  get url(): string {
    return this.#settings.url.href;
  }

  get state(): State {
    return this.#state;
  }

  /** What carries messages now, or did last; `null` before it is open, and when it is closed. */
  get transport(): Transport | null {
    return this.#transport;
  }

  /** What the consumer chose of `protocols`. */
  get subprotocol(): string | null {
    return this.#session.subprotocol;
  }

  /** Messages that the server has not taken yet. */
  get buffered(): number {
    return this.#session.kept;
  }

  /** Their bytes, and 32 for each. */
  get bufferedAmount(): number {
    return this.#session.amount;
  }

  /** Listens, and gives what ends that. */
  on<Name extends keyof Events<In>>(name: Name, listener: (event: Events<In>[Name]) => void): () => void {
    return this.#listeners.add(name, listener);
  }

  /**
   * Sends a text or bytes: now, or when there is a connection. They are copied. Throws a `BufferFullError` when
   * `maxBufferedAmount` is reached, and an `InvalidStateError` when the socket is closing or closed.
   */
  send(data: Data): void {
    if (this.#state === "closing" || this.#state === "closed") {
      throw new DOMException(`the socket is ${this.#state}`, "InvalidStateError");
    }
    this.#session.keep(typeof data === "string" ? data : copy(data));
    this.#link?.flush();
  }

  sendJSON(value: Out): void {
    this.send(JSON.stringify(value));
  }

  /** Opens it again after a close: another session. Does nothing unless it is closed. */
  open(): void {
    if (this.#state !== "closed") return;
    this.#become("connecting", "open was called");
    this.#unwatch = watchPage({
      online: () => this.#link?.networkChanged(),
      visible: () => this.#link?.hurry(),
      hide: (kept) => this.#leave(kept),
      show: () => this.#comeBack(),
    });
    this.#connect();
  }

  /**
   * Ends the session when what was sent is taken, or when three seconds have gone by. As a WebSocket's, it throws an
   * `InvalidAccessError` unless `code` is 1000 or one of 3000–4999, and a `SyntaxError` if `reason` has more than 123 bytes.
   */
  close(code = 1000, reason = ""): void {
    if (code !== 1000 && !(code >= 3000 && code <= 4999)) {
      throw new DOMException(`${code} is neither 1000 nor one of 3000–4999`, "InvalidAccessError");
    }
    if (new TextEncoder().encode(reason).length > 123) throw new DOMException("the reason is longer than 123 bytes", "SyntaxError");
    if (this.#state === "closing" || this.#state === "closed") return;
    this.#become("closing", "close was called");
    this.#link?.close(code, reason);
  }

  #connect(): void {
    this.#link = new Link(this.#session, this.#settings, {
      linked: (transport, fresh) => this.#linked(transport, fresh),
      unlinked: (reason) => this.#become(this.#wasOpen ? "reconnecting" : "connecting", reason),
      received: (messages) => messages.forEach((data) => this.#received(data)),
      ended: (close) => this.#ended(close),
    });
  }

  #linked(transport: Transport, fresh: boolean): void {
    const [previous, subprotocol] = [this.#transport, this.subprotocol];
    this.#transport = transport;
    this.#become("open", `by ${transport}`);
    if (transport !== previous) this.#listeners.tell("transport", { transport, previous });
    if (this.#wasOpen && fresh) this.#listeners.tell("reopen", { transport, subprotocol, resent: this.buffered });
    if (!this.#wasOpen) this.#listeners.tell("open", { transport, subprotocol });
    this.#wasOpen = true;
  }

  #received(data: Message): void {
    if (this.#state !== "open") return; // closed by the listener of a message before
    this.#listeners.tell("message", {
      data,
      json: () => {
        if (typeof data !== "string") throw new TypeError("a binary message is no JSON");
        return JSON.parse(data) as In;
      },
    });
  }

  #ended(close: Close): void {
    const unsent = [...this.#session.untaken()].map(([, message]) => message);
    this.#unwatch();
    this.#session.clear();
    this.#link = this.#transport = null;
    this.#wasOpen = false;
    this.#become("closed", close.reason);
    this.#listeners.tell("close", { ...close, unsent });
  }

  #leave(kept: boolean): void {
    if (this.#state === "closing") return;
    this.#link?.leave(kept);
    this.#link = null;
    this.#session.forget();
  }

  #comeBack(): void {
    if (this.#link) return;
    this.#become(this.#wasOpen ? "reconnecting" : "connecting", "the page came back");
    this.#connect();
  }

  #become(state: State, reason: string): void {
    const previous = this.#state;
    if (state === previous) return;
    this.#state = state;
    this.#listeners.tell("state", { state, previous, reason });
  }
}

/** Of its own, since what is sent may be changed afterwards. */
function copy(data: ArrayBuffer | ArrayBufferView): Uint8Array<ArrayBuffer> {
  if (data instanceof ArrayBuffer) return new Uint8Array(data.slice(0));
  if (!ArrayBuffer.isView(data)) throw new TypeError("neither a text nor bytes");
  return new Uint8Array(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
}
