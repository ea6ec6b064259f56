import type { Settings } from "./carriers/carrier.js";
import type { Options, Transport } from "./types.js";

const TRANSPORTS: readonly Transport[] = ["websocket", "event-stream", "long-poll"];
/** The longest time that a timer can count, in milliseconds. */
const MOST = 2 ** 31 - 1;
/** What the name of a subprotocol is: RFC 9110, section 5.6.2. */
const NAME = /^[\w!#$%&'*+\-.^`|~]+$/;

/** Options with their defaults. Throws a `TypeError` or `SyntaxError` if one makes no sense. */
export function settings(url: string | URL, options: Options): Settings {
  const { token, protocols = [], ...given } = options;
  const usual = {
    transports: TRANSPORTS,
    headers: {},
    credentials: "include" as const,
    openTimeout: 5_000,
    heartbeatInterval: 25_000,
    heartbeatTimeout: 10_000,
    streamTimeout: 45_000,
    requestTimeout: 15_000,
    minDelay: 500,
    maxDelay: 10_000,
    returnAfter: 30_000,
    maxReturnAfter: 600_000,
    maxBufferedAmount: 1_048_576,
    WebSocket: globalThis.WebSocket ?? null,
    fetch: (...request: Parameters<typeof fetch>) => globalThis.fetch(...request),
  };
  const said = Object.entries(given).filter(([, value]) => value !== undefined);
  for (const [name, value] of said) check(name, value, usual);
  const names = typeof protocols === "string" ? [protocols] : protocols;
  for (const name of names) {
    if (!NAME.test(name)) throw new SyntaxError(`${quoted(name)} is no name of a subprotocol`);
  }
  return {
    ...usual,
    ...Object.fromEntries(said),
    url: address(url),
    protocols: names,
    token: typeof token === "function" ? token : () => token,
  };
}

function check(name: string, value: unknown, usual: Readonly<Record<string, unknown>>): void {
  if (!Object.hasOwn(usual, name)) {
    throw new TypeError(`there is no option ${name}; there are ${["protocols", "token", ...Object.keys(usual)].join(", ")}`);
  }
  if (name === "headers") new Headers(value as Record<string, string>); // which throws
  if (name === "transports" && !(Array.isArray(value) && value.length && value.every((one) => TRANSPORTS.includes(one)))) {
    throw new TypeError(`transports is a list of some of ${TRANSPORTS.map(quoted).join(", ")}, not ${quoted(value)}`);
  }
  if (typeof usual[name] === "number" && !(typeof value === "number" && value >= 0 && value <= MOST)) {
    throw new TypeError(`${name} is a number from 0 to ${MOST}, not ${quoted(value)}`);
  }
}

function quoted(value: unknown): string {
  return typeof value === "number" ? String(value) : JSON.stringify(value);
}

/** As HTTP has it. */
function address(url: string | URL): URL {
  const page = globalThis.location?.href;
  let absolute;
  try {
    absolute = new URL(url, page);
  } catch {
    throw new SyntaxError(`${quoted(url)} is no URL${page ? "" : "; where there is no page, it has to be absolute"}`);
  }
  absolute.protocol = absolute.protocol.replace(/^ws/, "http");
  absolute.hash = "";
  if (!/^https?:$/.test(absolute.protocol)) throw new SyntaxError(`${absolute.href} is of neither http(s) nor ws(s)`);
  return absolute;
}
