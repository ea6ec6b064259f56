import type { Session } from "../session.js";
import type { Failure, Settings } from "./carrier.js";

/** A refusal, as an error on its way to whoever asked. */
export class Refusal extends Error {
  constructor(readonly failure: Failure) {
    super(failure.reason);
  }
}

export interface Request {
  readonly method?: "GET" | "POST" | "DELETE";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly keepalive?: boolean;
  readonly signal?: AbortSignal;
  /** Milliseconds until it has to be answered in full; for ever unless it is said. */
  readonly timeout?: number;
}

/** Asks the server something, in the name of the session if there is one. Throws a `Refusal` if it is answered with an error. */
export async function ask<Answer>(
  session: Session,
  settings: Settings,
  { headers, signal, timeout, ...request }: Request,
  read: (response: Response) => Promise<Answer>,
): Promise<Answer> {
  const given = new Headers({ ...settings.headers, ...headers });
  if (session.id !== null) given.set("Channels-Session", session.id);
  else if (settings.protocols.length) given.set("Channels-Subprotocols", settings.protocols.join(", "));
  const token = await settings.token();
  if (token !== undefined) given.set("Authorization", `Bearer ${token}`);

  const ending = new AbortController();
  const abort = (): void => ending.abort();
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort);
  const timer = timeout === undefined ? undefined : setTimeout(abort, timeout);
  try {
    const { fetch, url, credentials } = settings;
    const response = await fetch(url.href, { ...request, headers: given, signal: ending.signal, cache: "no-store", credentials });
    if (!response.ok) throw new Refusal(failureOf(response, session.id !== null));
    return await read(response);
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", abort);
  }
}

/** Ends the session, if there is one, with a request that outlives the page. */
export async function hangUp(session: Session, settings: Settings, code: number, reason: string): Promise<void> {
  if (session.id === null) return;
  const request = {
    method: "DELETE",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ code, reason }),
    keepalive: true,
    timeout: settings.requestTimeout,
  } as const;
  await ask(session, settings, request, () => Promise.resolve()).catch(() => {}); // then it ends by itself
}

function failureOf({ status, headers }: Response, within: boolean): Failure {
  const reason = `answered with status ${status}`;
  if (status === 405) return { kind: "unsupported", reason };
  // 400 within a session: the two do not agree about its numbers.
  if (status === 410 || (status === 400 && within)) return { kind: "gone", reason };
  if (status === 429 || status === 503) {
    return { kind: "busy", reason, retryAfter: (Number(headers.get("Retry-After")) || 0) * 1000 };
  }
  if (status >= 500 || status === 408) return { kind: "lost", reason };
  return { kind: "refused", reason, status };
}
