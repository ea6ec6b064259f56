import type { Batch } from "../batch.js";
import { fromBase64 } from "../base64.js";
import type { Opened, Session } from "../session.js";
import { Silence } from "../silence.js";
import type { Listener, Settings } from "./carrier.js";
import { HttpCarrier } from "./http-carrier.js";
import { ask } from "./http.js";
import { StreamParser, type StreamEvent } from "./stream-parser.js";

/** One response that does not end, read with `fetch`, since an `EventSource` sends no headers. */
export class EventStreamCarrier extends HttpCarrier {
  readonly transport = "event-stream";

  constructor(session: Session, settings: Settings, listener: Listener) {
    super(session, settings, listener, true);
  }

  protected async run(): Promise<void> {
    const headers = { Accept: "text/event-stream", ...(this.session.id !== null && { "Channels-Ack": String(this.session.ack()) }) };
    await ask(this.session, this.settings, { headers, signal: this.stopped.signal }, (response) => this.#read(response));
    this.fail({ kind: "lost", reason: "the event stream ended" });
  }

  async #read(response: Response): Promise<void> {
    const type = response.headers.get("Content-Type") ?? "nothing";
    if (!type.startsWith("text/event-stream") || !response.body) throw new TypeError(`not an event stream but ${type}`);
    const silence = new Silence(this.settings.streamTimeout, () => this.fail({ kind: "lost", reason: "the event stream is silent" }));
    try {
      const parser = new StreamParser();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let part = await reader.read(); !part.done; part = await reader.read()) {
        silence.heard();
        for (const event of parser.push(part.value)) this.#handle(event);
      }
    } finally {
      silence.stop();
    }
  }

  #handle({ name, data, id }: StreamEvent): void {
    const number = Number(id.slice(id.lastIndexOf(".") + 1));
    switch (name) {
      case "open":
        this.listener?.opened(JSON.parse(data) as Opened);
        return this.flush();
      case "message": return this.listener?.received(number, [data]);
      case "json": return this.listener?.received(number, [JSON.parse(data) as string]);
      case "binary": return this.listener?.received(number, [fromBase64(data)]);
      case "close": return this.fail({ kind: "closed", ...(JSON.parse(data) as Required<Batch>["close"]) });
    }
  }
}
