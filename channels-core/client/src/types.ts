/** A way to reach the server. */
export type Transport = "websocket" | "event-stream" | "long-poll";

/**
 * - `connecting`: nothing has opened yet.
 * - `open`: messages flow.
 * - `reconnecting`: there was a connection; another one is being made. What is sent meanwhile is kept.
 * - `closing`: `close` was called.
 * - `closed`: over, until `open` is called.
 */
export type State = "connecting" | "open" | "reconnecting" | "closing" | "closed";

/** What goes over the wire: a text, or bytes. */
export type Data = string | ArrayBuffer | ArrayBufferView;

export interface Options {
  /** Subprotocols of the application, the best first. */
  protocols?: string | readonly string[];
  /** Which transports may be used, the best first. All, unless it is said. */
  transports?: readonly Transport[];
  /** A token, or what gets one for each connection: `Authorization: Bearer …`, or the subprotocol `bearer.…`. */
  token?: string | (() => string | Promise<string>);
  /** Fields for the requests of event streams and long polls. A browser's WebSocket cannot send any. */
  headers?: Readonly<Record<string, string>>;
  /** Whether requests carry cookies: `include`, as a WebSocket does, unless it is said. */
  credentials?: RequestCredentials;
  /** Milliseconds in which a transport has to open before the next one is tried: 5,000. */
  openTimeout?: number;
  /** Milliseconds of silence after which a WebSocket is asked whether it is alive: 25,000. */
  heartbeatInterval?: number;
  /** Milliseconds that it has to answer: 10,000. */
  heartbeatTimeout?: number;
  /** Milliseconds of silence after which an event stream is given up: 45,000. Well over the server's `ping_interval`. */
  streamTimeout?: number;
  /** Milliseconds that a request has to be answered, a poll's window aside: 15,000. */
  requestTimeout?: number;
  /** Milliseconds; the first pause before a new attempt is at most this long, and each further one at most twice the one before: 500. */
  minDelay?: number;
  /** Milliseconds that a pause lasts at most: 10,000. After an outage it takes at most this long to come back. */
  maxDelay?: number;
  /** Milliseconds until the first attempt to come back to a better transport; each further one waits twice as long: 30,000. */
  returnAfter?: number;
  /** Milliseconds that such an attempt waits at most: 600,000. */
  maxReturnAfter?: number;
  /** Bytes that wait to be taken by the server before `send` throws: 1,048,576. Each message counts 32 more than it has. */
  maxBufferedAmount?: number;
  /** Another `WebSocket` than the global one; `null` for none. */
  WebSocket?: typeof WebSocket | null;
  /** Another `fetch` than the global one. */
  fetch?: typeof fetch;
}

export interface OpenEvent {
  readonly transport: Transport;
  /** What the consumer chose of `protocols`. */
  readonly subprotocol: string | null;
}

/** The server has forgotten the session, and there is a new one: messages to this client may have been missed. */
export interface ReopenEvent extends OpenEvent {
  /** How many messages are sent again; some of them may have arrived in the old session. */
  readonly resent: number;
}

export interface MessageEvent<In> {
  readonly data: string | Uint8Array;
  /** The text, parsed. Throws a `SyntaxError` if it is no JSON, and a `TypeError` if the message is binary. */
  json(): In;
}

export interface StateEvent {
  readonly state: State;
  readonly previous: State;
  /** Why, in words for a log. */
  readonly reason: string;
}

export interface TransportEvent {
  readonly transport: Transport;
  readonly previous: Transport | null;
}

export interface CloseEvent {
  /** The close code of whoever closed; 1006 if the server refused. */
  readonly code: number;
  readonly reason: string;
  /** The HTTP status that the server refused with. */
  readonly status: number | null;
  /** What was sent, and not taken by the server. */
  readonly unsent: readonly (string | Uint8Array)[];
}

export interface Events<In> {
  /** The first session is open. Once, unless `open` is called after a close. */
  open: OpenEvent;
  /** A message came. */
  message: MessageEvent<In>;
  /** `state` has changed. */
  state: StateEvent;
  /** `transport` has changed. */
  transport: TransportEvent;
  /** There is a new session in place of a lost one. */
  reopen: ReopenEvent;
  /** It is over, and nothing is tried any more. */
  close: CloseEvent;
}

/** More waits to be taken by the server than `maxBufferedAmount`. The message was not sent. */
export class BufferFullError extends Error {
  override readonly name = "BufferFullError";
}
