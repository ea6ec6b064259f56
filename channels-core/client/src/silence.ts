/** Calls back when nothing was heard for so many milliseconds. */
export class Silence {
  #heard = Date.now();
  #due = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #limit: number;
  readonly #broken: () => void;

  constructor(limit: number, broken: () => void) {
    this.#limit = limit;
    this.#broken = broken;
    this.#wait(limit);
  }

  /** Something was heard. */
  heard(): void {
    this.#heard = Date.now();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }

  #wait(time: number): void {
    this.#due = Date.now() + time;
    this.#timer = setTimeout(() => this.#look(), time);
  }

  #look(): void {
    const now = Date.now();
    // A timer that is late was held back with the rest of the page: what came meanwhile is still to be read.
    if (now - this.#due > 1000) this.heard();
    const left = this.#heard + this.#limit - now;
    if (left > 0) return this.#wait(left);
    this.#wait(this.#limit);
    this.#broken();
  }
}
