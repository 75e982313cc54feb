import { useEffect, useState } from "preact/hooks";

/** Whoever looks is told at most so often: the eye needs no more, and charts are work. */
const intervalMs = 200;

/** After something took long to show, so many times as long nothing new is shown: input and scrolling come first. */
const restFactor = 5;

/** Nothing new is shown before this, by `performance.now()`; for all of the page. */
let restUntilMs = 0;

/** Calls back when what was told has been shown, and rests. */
function rest(toldMs: number): void {
  setTimeout(() => {
    const nowMs = performance.now();
    restUntilMs = Math.max(restUntilMs, nowMs + restFactor * (nowMs - toldMs));
  });
}

/** Tells listeners that something changed, a bounded number of times a second, and never while the page is hidden. */
export class Observable {
  #version = 0;
  #due = false;
  readonly #listeners = new Set<() => void>();

  /** One more with each change that was told. */
  get version(): number {
    return this.#version;
  }

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  protected changed(): void {
    if (this.#due) return;
    this.#due = true;
    const waitMs = Math.max(intervalMs, restUntilMs - performance.now());
    setTimeout(() => requestAnimationFrame(() => this.#tell()), waitMs);
  }

  #tell(): void {
    this.#due = false;
    this.#version += 1;
    rest(performance.now());
    for (const listener of this.#listeners) listener();
  }
}

/** Draws a component again when one of these changes. */
export function useChanges(observables: readonly Observable[]): void {
  const [, setVersion] = useState(0);
  useEffect(() => {
    const ends = observables.map((each) => each.subscribe(() => setVersion((version) => version + 1)));
    return () => {
      for (const end of ends) end();
    };
  }, observables);
}
