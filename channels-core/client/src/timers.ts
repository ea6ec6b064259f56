/** Timers by name: one of a name at a time. */
export class Timers<Name extends string> {
  readonly #all = new Map<Name, ReturnType<typeof setTimeout>>();

  set(name: Name, time: number, then: () => void): void {
    this.clear(name);
    this.#all.set(name, setTimeout(() => {
      this.#all.delete(name);
      then();
    }, time));
  }

  waits(name: Name): boolean {
    return this.#all.has(name);
  }

  clear(name: Name): void {
    clearTimeout(this.#all.get(name));
    this.#all.delete(name);
  }

  stop(): void {
    for (const name of [...this.#all.keys()]) this.clear(name);
  }
}
