import type { Message } from "../batch.js";
import type { Opened } from "../session.js";
import type { Options, Transport } from "../types.js";

/** What carries a session's messages for a while. */
export interface Carrier {
  readonly transport: Transport;
  /** There is something to send, or to acknowledge. */
  flush(): void;
  /** Is it alive? If it is not, it fails soon. */
  probe(): void;
  /** Ends the session, when all that was sent before is taken. Settles when the server knows. */
  end(code: number, reason: string): Promise<void>;
  /** Ends the session at once: the page goes away, and `kept` says whether it may come back. */
  leave(kept: boolean): void;
  /** Lets go and is silent from now on; the session stays. */
  drop(): void;
}

/** Whom a carrier tells. */
export interface Listener {
  opened(opened: Opened): void;
  received(from: number, messages: readonly Message[]): void;
  taken(upTo: number): void;
  /** It is of no use any more. The last thing that a carrier says. */
  failed(failure: Failure): void;
}

export type Failure =
  /** It broke, or did not open; the session may go on. */
  | { readonly kind: "lost"; readonly reason: string }
  /** The server has no time for it now. */
  | { readonly kind: "busy"; readonly reason: string; readonly retryAfter: number }
  /** The route does not offer this transport, or the browser does not have it. */
  | { readonly kind: "unsupported"; readonly reason: string }
  /** The server will not have this client. */
  | { readonly kind: "refused"; readonly reason: string; readonly status: number }
  /** The session is unknown to the server. */
  | { readonly kind: "gone"; readonly reason: string }
  /** The session has ended. */
  | { readonly kind: "closed"; readonly code: number; readonly reason: string };

/** Options with all that has a default. */
export type Settings = Required<Omit<Options, "token" | "protocols">> & {
  readonly url: URL;
  readonly protocols: readonly string[];
  readonly token: () => string | undefined | Promise<string | undefined>;
};
