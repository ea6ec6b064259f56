import { decode, encode, type Batch } from "../batch.js";
import { meaning } from "../codes.js";
import type { Opened, Session } from "../session.js";
import { Silence } from "../silence.js";
import type { Carrier, Failure, Listener, Settings } from "./carrier.js";

const PROTOCOL = "channels.v1";

/** Each message is a frame of its own: a batch of one, or plain bytes. */
export class WebSocketCarrier implements Carrier {
  readonly transport = "websocket";
  readonly #session: Session;
  readonly #settings: Settings;
  #listener: Listener | null;
  #socket: WebSocket | null = null;
  #open = false;
  #resumed = false;
  /** The number of the server's next message. */
  #next = 0;
  /** The last message that this socket was given, or that the server had before it. */
  #sent = 0;
  #silence: Silence | null = null;
  #answer: ReturnType<typeof setTimeout> | undefined;
  /** The close that was asked for, and whom to tell when the server knows. */
  #ending: { code: number; reason: string; done: () => void } | null = null;

  constructor(session: Session, settings: Settings, listener: Listener) {
    this.#session = session;
    this.#settings = settings;
    this.#listener = listener;
    queueMicrotask(() => void this.#connect());
  }

  async #connect(): Promise<void> {
    const { WebSocket, url, protocols } = this.#settings;
    if (!WebSocket) return this.#fail({ kind: "unsupported", reason: "there is no WebSocket here" });
    try {
      const token = await this.#settings.token();
      if (!this.#listener) return;
      const { id, received } = this.#session;
      this.#next = received + 1;
      this.#resumed = id !== null;
      const offered = [PROTOCOL, ...(id === null ? [] : [`${PROTOCOL}.resume.${received}.${id}`]), ...protocols];
      if (token !== undefined) offered.push(`bearer.${token}`);
      const address = new URL(url);
      address.protocol = url.protocol === "https:" ? "wss:" : "ws:";
      const socket = (this.#socket = new WebSocket(address.href, offered));
      socket.binaryType = "arraybuffer";
      socket.onmessage = ({ data }) => this.#receive(data as string | ArrayBuffer);
      socket.onclose = ({ code, reason }) => this.#closed(code, reason);
    } catch (error) {
      this.#fail({ kind: "lost", reason: String(error) });
    }
  }

  #receive(data: string | ArrayBuffer): void {
    this.#heard();
    try {
      if (typeof data !== "string") return this.#listener?.received(this.#next++, [new Uint8Array(data)]);
      const frame = JSON.parse(data) as Batch & Partial<Opened>;
      if (!this.#open) return this.#opened(frame as Opened);
      if (frame.taken !== undefined) {
        this.#listener?.taken(frame.taken);
        this.#endIfTaken();
      }
      if (frame.from === undefined) return;
      const messages = decode(frame);
      this.#next = frame.from + messages.length;
      this.#listener?.received(frame.from, messages);
    } catch (error) {
      this.#fail({ kind: "lost", reason: `a frame that makes no sense: ${String(error)}` });
    }
  }

  #opened(opened: Opened): void {
    if (typeof opened.session !== "string") throw new TypeError("the first one names no session");
    if (opened.session !== this.#session.id) this.#next = 1;
    this.#listener?.opened(opened);
    if (!this.#listener) return; // closed by whoever was told
    this.#open = true;
    this.#silence = new Silence(this.#settings.heartbeatInterval, () => this.probe());
    this.#sent = opened.taken ?? 0;
    this.flush();
  }

  flush(): void {
    const [session, socket] = [this.#session, this.#socket];
    if (!this.#open || !socket || !this.#listener) return;
    for (const [number, message] of session.untaken(this.#sent)) {
      // The server counts what this socket brings: bytes go as they are where that is their number. It is not when another
      // carrier has brought some meanwhile.
      const plain = typeof message !== "string" && number === this.#sent + 1;
      socket.send(plain ? message : JSON.stringify({ ...encode(number, [message]), ...session.news() }));
      this.#sent = number;
    }
    if (session.owesAck) socket.send(JSON.stringify(session.news()));
  }

  probe(): void {
    if (!this.#open || this.#answer !== undefined) return;
    this.#socket?.send(JSON.stringify({ ack: this.#session.ack() })); // which the server answers with what it has taken
    this.#answer = setTimeout(
      () => this.#fail({ kind: "lost", reason: "no answer to a heartbeat" }),
      this.#settings.heartbeatTimeout,
    );
  }

  #heard(): void {
    this.#silence?.heard();
    clearTimeout(this.#answer);
    this.#answer = undefined;
  }

  #closed(code: number, reason: string): void {
    if (this.#ending && !this.#session.kept) return this.#ending.done();
    const [why, told] = [meaning(code), reason ? `${code} ${reason}` : `${code}`];
    if (code === 4410) this.#fail({ kind: "gone", reason: told });
    else if (why === "lost") this.#fail({ kind: "lost", reason: `the socket was closed: ${told}` });
    else this.#fail({ kind: "closed", code, reason });
  }

  end(code: number, reason: string): Promise<void> {
    return new Promise((done) => {
      this.#ending = { code, reason, done };
      this.#endIfTaken();
    });
  }

  /** Not before: a socket that closes hears no more of what was taken. */
  #endIfTaken(): void {
    if (this.#ending && !this.#session.kept) this.#socket?.close(this.#ending.code, this.#ending.reason);
  }

  leave(kept: boolean): void {
    if (kept) this.#socket?.close(); // else the browser closes it, with 1001
    this.drop();
  }

  drop(): void {
    this.#listener = null;
    this.#silence?.stop();
    clearTimeout(this.#answer);
    const socket = this.#socket;
    if (!socket) return;
    socket.onmessage = null;
    if (this.#ending) return socket.close(this.#ending.code, this.#ending.reason);
    // A close frame would end the session, which another carrier is to go on with; that one makes the server close this socket.
    const needed = this.#open || (this.#resumed && socket.readyState !== socket.CONNECTING);
    if (!needed) socket.close();
  }

  #fail(failure: Failure): void {
    const listener = this.#listener;
    this.drop();
    listener?.failed(failure);
  }
}
