/** One event of a stream. */
export interface StreamEvent {
  readonly name: string;
  readonly data: string;
  readonly id: string;
}

/** Reads `text/event-stream` (WHATWG HTML, section 9.2.6), in whatever pieces it comes. */
export class StreamParser {
  #rest = "";
  #name = "";
  #data: string[] = [];
  #id = "";

  *push(text: string): Generator<StreamEvent> {
    // A line ends with CR, LF or both. A CR at the end may be the first half of both.
    const lines = (this.#rest + text).split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop()!;
    for (const line of lines) {
      if (line) this.#field(line);
      else yield* this.#dispatch();
    }
  }

  #field(line: string): void {
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment
    const [field, value] = colon < 0 ? [line, ""] : [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, "")];
    if (field === "event") this.#name = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id") this.#id = value;
  }

  *#dispatch(): Generator<StreamEvent> {
    const [name, data] = [this.#name || "message", this.#data];
    [this.#name, this.#data] = ["", []];
    if (data.length) yield { name, data: data.join("\n"), id: this.#id };
  }
}
