import type { Events } from "./types.js";

type Name = keyof Events<unknown>;
export type Listener<In, Of extends Name> = (event: Events<In>[Of]) => void;

/** Who listens to what. */
export class Listeners<In> {
  readonly #all: { readonly [Of in Name]: Set<Listener<In, Of>> } = {
    open: new Set(), message: new Set(), state: new Set(), transport: new Set(), reopen: new Set(), close: new Set(),
  };

  add<Of extends Name>(name: Of, listener: Listener<In, Of>): () => void {
    this.#all[name].add(listener);
    return () => void this.#all[name].delete(listener);
  }

  tell<Of extends Name>(name: Of, event: Events<In>[Of]): void {
    for (const listener of [...this.#all[name]]) {
      try {
        listener(event);
      } catch (error) {
        queueMicrotask(() => { throw error; }); // the listener's affair: it is reported as any uncaught error
      }
    }
  }
}
