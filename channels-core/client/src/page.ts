/** What happens to the page. */
interface Watcher {
  /** The browser has a network again, or another one. */
  online(): void;
  /** Somebody looks at the page again. */
  visible(): void;
  /** The page goes away; `kept` if the way back may show it again as it is. */
  hide(kept: boolean): void;
  /** The way back has shown it again. */
  show(): void;
}

/** Watches the page, where there is one, and gives what ends that. */
export function watchPage(watcher: Watcher): () => void {
  if (typeof document === "undefined") return () => {};
  const listening = new AbortController();
  const { signal } = listening;
  addEventListener("online", () => watcher.online(), { signal });
  addEventListener("pagehide", ({ persisted }) => watcher.hide(persisted), { signal });
  addEventListener("pageshow", ({ persisted }) => { if (persisted) watcher.show(); }, { signal });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "visible") watcher.visible();
  }, { signal });
  return () => listening.abort();
}
