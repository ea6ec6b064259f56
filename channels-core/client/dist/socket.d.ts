import type { CloseEvent, Data, Events, MessageEvent, OpenEvent, Options, ReopenEvent, State, StateEvent, Transport, TransportEvent } from "./types.js";
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
export declare class ChannelsSocket<In = unknown, Out = unknown> {
    #private;
    onopen: ((event: OpenEvent) => void) | null;
    onmessage: ((event: MessageEvent<In>) => void) | null;
    onstate: ((event: StateEvent) => void) | null;
    ontransport: ((event: TransportEvent) => void) | null;
    onreopen: ((event: ReopenEvent) => void) | null;
    onclose: ((event: CloseEvent) => void) | null;
    /**
     * `url` may be relative to the page, and of any of `http(s)` and `ws(s)`. Throws a `SyntaxError` or `TypeError` if it is none,
     * or an option makes no sense.
     */
    constructor(url: string | URL, options?: Options);
    get url(): string;
    get state(): State;
    /** What carries messages now, or did last; `null` before it is open, and when it is closed. */
    get transport(): Transport | null;
    /** What the consumer chose of `protocols`. */
    get subprotocol(): string | null;
    /** Messages that the server has not taken yet. */
    get buffered(): number;
    /** Their bytes, and 32 for each. */
    get bufferedAmount(): number;
    /** Listens, and gives what ends that. */
    on<Name extends keyof Events<In>>(name: Name, listener: (event: Events<In>[Name]) => void): () => void;
    /**
     * Sends a text or bytes: now, or when there is a connection. They are copied. Throws a `BufferFullError` when
     * `maxBufferedAmount` is reached, and an `InvalidStateError` when the socket is closing or closed.
     */
    send(data: Data): void;
    sendJSON(value: Out): void;
    /** Opens it again after a close: another session. Does nothing unless it is closed. */
    open(): void;
    /**
     * Ends the session when what was sent is taken, or when three seconds have gone by. As a WebSocket's, it throws an
     * `InvalidAccessError` unless `code` is 1000 or one of 3000–4999, and a `SyntaxError` if `reason` has more than 123 bytes.
     */
    close(code?: number, reason?: string): void;
}
