import type { Message } from "../src/batch.js";
import { decode, encode, type Batch } from "../src/batch.js";
import { toBase64 } from "../src/base64.js";
import type { Transport } from "../src/types.js";

/** What is in the way of a transport: nothing is answered, the connection is cut, or somebody answers with a status. */
export type Obstacle = "silence" | "cut" | number;

interface Receiver {
  readonly transport: Transport;
  deliver(session: FakeSession): void;
  taken(upTo: number): void;
  /** Another one took over (4409), or the session has ended. */
  end(code: number, reason: string): void;
}

/** A session, as docs/reference/transports.md has it. */
export class FakeSession {
  readonly inbox: Message[] = [];
  /** What was sent and is not acknowledged; the first has number `first`. */
  readonly kept: Message[] = [];
  first = 1;
  /** How often the client acknowledged. */
  acks = 0;
  ended: { code: number; reason: string; by: "client" | "server" } | null = null;
  /** Its own server has crashed: whoever asks for it, by another server, waits. */
  crashed = false;
  carrier: Receiver | null = null;
  /** Takes no more than so many messages of a batch. */
  appetite = Infinity;

  constructor(readonly id: string, readonly server: FakeServer, readonly subprotocols: readonly string[]) {}

  send(message: Message): void {
    this.kept.push(message);
    this.carrier?.deliver(this);
  }

  close(code: number, reason = ""): void {
    this.ended = { code, reason, by: "server" };
    this.carrier?.end(code, reason);
  }

  behind(ack: number): { from: number; messages: Message[] } {
    return { from: ack + 1, messages: this.kept.slice(ack + 1 - this.first) };
  }

  ack(upTo: number): void {
    if (upTo >= this.first + this.kept.length) throw new Error(`the client has message ${upTo}, which was never sent`);
    this.acks++;
    this.first += this.kept.splice(0, Math.max(0, upTo + 1 - this.first)).length;
  }

  /** A batch of the client; gives what is taken. */
  take({ from, messages, ack }: Batch): number {
    if (ack !== undefined) this.ack(ack);
    const fresh = decode(messages ? { messages } : {}).slice(from === undefined ? 0 : this.inbox.length + 1 - from);
    if (from !== undefined && from > this.inbox.length + 1) throw new Error(`a batch from ${from} after ${this.inbox.length}`);
    for (const message of fresh.slice(0, this.appetite)) this.takeOne(message);
    return this.inbox.length;
  }

  takeOne(message: Message): void {
    this.inbox.push(message);
    this.server.ontake(this, message);
  }

  takeOver(carrier: Receiver, ack: number): void {
    this.ack(ack);
    const old = this.carrier;
    this.carrier = carrier;
    old?.end(4409, "another carrier took over");
  }

  /** The carrier is lost, for no reason that anybody is told. */
  cut(): void {
    this.carrier?.end(4409, "");
    this.carrier = null;
  }

  crash(): void {
    this.crashed = true;
    this.cut();
  }

  endedByClient(code: number, reason: string): void {
    this.ended = { code, reason, by: "client" };
    this.carrier = null;
  }

  get opened(): object {
    return { session: this.id, window: 25, subprotocol: this.subprotocols[0] ?? null };
  }
}

/** A server in this process: a `WebSocket` and a `fetch` that lead to it. */
export class FakeServer {
  readonly obstacles = new Map<Transport | "post", Obstacle>();
  readonly sessions: FakeSession[] = [];
  /** What was asked, in order: `ws`, `GET`, `POST`, … */
  readonly log: string[] = [];
  readonly requests: Request[] = [];
  readonly sockets: FakeSocket[] = [];
  ontake: (session: FakeSession, message: Message) => void = () => {};
  /** Bytes of a body, past which it is 413. */
  limit = Infinity;
  /** Sockets take sessions over, and what they send does not arrive. */
  takesOverInSilence = false;
  /** Milliseconds between a socket's taking a session over and its saying so. */
  lag = 0;
  /** Event streams are opened, and their bytes kept back. */
  buffers = false;

  get session(): FakeSession {
    return this.sessions.at(-1)!;
  }

  readonly options = {
    WebSocket: socketClass(this),
    fetch: (input: string | URL | Request, init?: RequestInit) => this.fetch(new Request(input, init)),
  };

  open(subprotocols: readonly string[]): FakeSession {
    const session = new FakeSession(`s${this.sessions.length + 1}`, this, subprotocols);
    this.sessions.push(session);
    return session;
  }

  find(id: string): FakeSession | undefined {
    return this.sessions.find((session) => session.id === id && !session.ended);
  }

  async fetch(request: Request): Promise<Response> {
    const stream = request.headers.get("Accept") === "text/event-stream";
    const transport = stream ? "event-stream" : "long-poll";
    this.requests.push(request);
    this.log.push(stream ? "stream" : request.method);
    const obstacle = (request.method === "POST" && this.obstacles.get("post")) || this.obstacles.get(transport);
    if (obstacle !== undefined && request.method !== "DELETE") return block(obstacle, request.signal);
    const body = await request.text();
    await new Promise((resolve) => setImmediate(resolve));
    if (body.length > this.limit) return new Response(null, { status: 413 });

    const id = request.headers.get("Channels-Session");
    const session = id === null ? undefined : this.find(id);
    if (id !== null && !session) return new Response(null, { status: 410 });
    if (session?.crashed) return block("silence", request.signal);
    const offered = request.headers.get("Channels-Subprotocols")?.split(", ") ?? [];
    const ack = Number(request.headers.get("Channels-Ack"));
    if (stream) return this.#stream(session ?? this.open(offered), ack, request.signal);
    if (!session) return Response.json(this.open(offered).opened);
    if (request.method === "DELETE") {
      const { code, reason } = JSON.parse(body) as { code: number; reason: string };
      session.endedByClient(code, reason);
      return new Response(null, { status: 204 });
    }
    if (request.method === "POST") return Response.json({ taken: session.take(JSON.parse(body) as Batch) });
    return this.#poll(session, ack, request.signal);
  }

  #poll(session: FakeSession, ack: number, signal: AbortSignal): Promise<Response> {
    return new Promise((resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error));
      const answer = (batch: Batch): void => {
        clearTimeout(timer);
        if (session.carrier === poll) session.carrier = null;
        resolve(Response.json(batch));
      };
      const poll: Receiver = {
        transport: "long-poll",
        deliver: () => {
          const { from, messages } = session.behind(ack);
          if (messages.length) answer(encode(from, messages));
        },
        taken: () => {},
        end: (code, reason) => answer(code === 4409 ? {} : { close: { code, reason } }),
      };
      const timer = setTimeout(() => answer({}), 25_000);
      session.takeOver(poll, ack);
      poll.deliver(session);
    });
  }

  #stream(session: FakeSession, ack: number, signal: AbortSignal): Response {
    let [sent, over] = [ack, false];
    const comment = (): void => {
      write(":\n\n");
      timer = setTimeout(comment, 20_000);
    };
    let timer = setTimeout(comment, 20_000);
    const stream = new TransformStream<string, string>();
    const writer = stream.writable.getWriter();
    const write = (text: string): void => { if (!this.buffers && !over) writer.write(text).catch(() => {}); };
    const carrier: Receiver = {
      transport: "event-stream",
      deliver: () => {
        for (const message of session.behind(sent).messages) write(event(message, `${session.id}.${++sent}`));
      },
      taken: () => {},
      end: (code, reason) => {
        if (code !== 4409) write(`event: close\ndata: ${JSON.stringify({ code, reason })}\n\n`);
        clearTimeout(timer);
        if (!over) writer.close().catch(() => {});
        over = true;
      },
    };
    signal.addEventListener("abort", () => {
      if (session.carrier === carrier) session.carrier = null;
      clearTimeout(timer);
      if (!over) writer.abort(signal.reason).catch(() => {});
      over = true;
    });
    session.takeOver(carrier, ack);
    write(`retry: 2000\nevent: open\ndata: ${JSON.stringify(session.opened)}\n\n`);
    carrier.deliver(session);
    return new Response(stream.readable.pipeThrough(new TextEncoderStream()), { headers: { "Content-Type": "text/event-stream" } });
  }
}

function event(message: Message, id: string): string {
  if (typeof message !== "string") return `event: binary\nid: ${id}\ndata: ${toBase64(message)}\n\n`;
  if (message.includes("\r")) return `event: json\nid: ${id}\ndata: ${JSON.stringify(message)}\n\n`;
  return `id: ${id}\n${message.split("\n").map((line) => `data: ${line}\n`).join("")}\n`;
}

function block(obstacle: Obstacle, signal: AbortSignal): Promise<Response> {
  if (typeof obstacle === "number") {
    return Promise.resolve(new Response(null, { status: obstacle, headers: obstacle === 503 ? { "Retry-After": "7" } : {} }));
  }
  if (obstacle === "cut") return Promise.reject(new TypeError("cut"));
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error)));
}

/** Both ends of one socket. */
export class FakeSocket implements Receiver {
  readonly transport = "websocket";
  readonly CONNECTING = 0;
  readonly OPEN = 1;
  readonly CLOSING = 2;
  readyState = 0;
  onmessage: ((event: { data: string | ArrayBuffer }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  /** What the client sent, in order. */
  readonly frames: (string | Uint8Array)[] = [];
  /** What the client closed it with. */
  closedWith: [number | undefined, string | undefined] | null = null;
  /** Nothing passes any more, and nobody is told. */
  dead = false;
  session: FakeSession | null = null;
  #sent = 0;
  /** The number of the client's next bytes. */
  #next = 1;
  #begun = false;

  constructor(readonly server: FakeServer, readonly url: string, readonly offered: readonly string[]) {
    server.log.push("ws");
    server.sockets.push(this);
    setImmediate(() => this.#accept());
  }

  #accept(): void {
    const obstacle = this.server.obstacles.get("websocket");
    if (this.readyState !== 0 || obstacle === "silence") return;
    if (obstacle !== undefined) return this.lose();
    const resume = this.offered.find((name) => name.startsWith("channels.v1.resume."))?.split(".");
    const plain = this.offered.filter((name) => !/^(channels\.v1|bearer\.)/.test(name));
    const session = resume ? this.server.find(resume[4]!) : this.server.open(plain);
    if (session?.crashed) return;
    this.readyState = 1;
    const keeps = !resume || (session && Number(resume[3]) + 1 >= session.first);
    if (!session || !keeps) return this.end(4410, "no such session, or not with what is asked for");
    this.session = session;
    this.dead = this.server.takesOverInSilence;
    this.#sent = resume ? Number(resume[3]) : 0;
    this.#next = session.inbox.length + 1;
    session.takeOver(this, this.#sent);
    if (this.server.lag) setTimeout(() => this.#begin(session), this.server.lag);
    else this.#begin(session);
  }

  #begin(session: FakeSession): void {
    this.#begun = true;
    this.#write(JSON.stringify({ ...session.opened, taken: this.#next - 1 }));
    this.deliver();
  }

  deliver(): void {
    if (!this.#begun) return;
    const { from, messages } = this.session!.behind(this.#sent);
    messages.forEach((message, at) => {
      if (typeof message === "string") this.#write(JSON.stringify(encode(from + at, [message])));
      else this.#write(message.slice().buffer);
      this.#sent++;
    });
  }

  #write(data: string | ArrayBuffer): void {
    // As in a browser, what comes after a call of close() is not heard of.
    if (!this.dead) queueMicrotask(() => { if (!this.closedWith) this.onmessage?.({ data }); });
  }

  taken(upTo: number): void {
    this.#write(JSON.stringify({ taken: upTo }));
  }

  /** From the client. */
  send(data: string | Uint8Array): void {
    if (this.readyState !== 1 || this.dead) return;
    this.frames.push(data);
    setImmediate(() => {
      const session = this.session;
      if (!session || session.carrier !== this || this.dead) return;
      const batch: Batch = typeof data === "string" ? JSON.parse(data) : encode(this.#next, [data as Uint8Array<ArrayBuffer>]);
      session.take(batch);
      if (batch.from !== undefined) this.#next = batch.from + batch.messages!.length;
      this.taken(session.inbox.length);
    });
  }

  /** From the client. */
  close(code?: number, reason?: string): void {
    if (this.readyState > 1) return;
    this.closedWith = [code, reason];
    const opened = this.readyState === 1;
    this.readyState = 2;
    if (this.dead) return;
    setImmediate(() => {
      if (opened && this.session?.carrier === this) this.session.endedByClient(code ?? 1005, reason ?? "");
      this.readyState = 3;
      this.onclose?.({ code: opened ? (code ?? 1005) : 1006, reason: "" });
    });
  }

  /** From the server. */
  end(code: number, reason: string): void {
    if (this.readyState > 1) return;
    this.readyState = 3;
    if (!this.dead) queueMicrotask(() => this.onclose?.({ code, reason }));
  }

  /** Cut, without a close frame. */
  lose(): void {
    this.readyState = 3;
    if (this.session?.carrier === this) this.session.carrier = null;
    this.onclose?.({ code: 1006, reason: "" });
  }
}

function socketClass(server: FakeServer): typeof WebSocket {
  return class extends FakeSocket {
    constructor(url: string, offered: string[]) {
      super(server, url, offered);
    }
  } as unknown as typeof WebSocket;
}
