import { useEffect, useState } from "preact/hooks";

/** Whoever looks is told at most so often: the eye needs no more, and charts are work. */
const intervalMs = 200;

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
    setTimeout(() => requestAnimationFrame(() => this.#tell()), intervalMs);
  }

  #tell(): void {
    this.#due = false;
    this.#version += 1;
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
