import type { Settings } from "./carriers/carrier.js";
import type { Options } from "./types.js";

/** Options with their defaults. */
export function settings(url: string | URL, options: Options): Settings {
  const { token, protocols = [] } = options;
  return {
    transports: ["websocket", "event-stream", "long-poll"],
    headers: {},
    credentials: "include",
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
    fetch: (...request) => globalThis.fetch(...request),
    ...options,
    url: address(url),
    protocols: typeof protocols === "string" ? [protocols] : protocols,
    token: typeof token === "function" ? token : () => token,
  };
}

/** As HTTP has it. */
function address(url: string | URL): URL {
  const absolute = new URL(url, globalThis.location?.href);
  absolute.protocol = absolute.protocol.replace(/^ws/, "http");
  absolute.hash = "";
  if (!/^https?:$/.test(absolute.protocol)) throw new SyntaxError(`${absolute.href} is of neither http(s) nor ws(s)`);
  return absolute;
}
