import { limits } from "./limits.ts";

/** Which refusals were told already, so that one that comes again and again does not fill a log; the oldest are forgotten. */
export class ToldRefusals {
  readonly #keys = new Set<string>();

  /** Whether it is to be told now: not, if it was and is remembered. */
  isNew(key: string): boolean {
    if (this.#keys.has(key)) return false;
    for (const oldest of this.#keys) {
      if (this.#keys.size < limits.refusalsRememberedMax) break;
      this.#keys.delete(oldest);
    }
    this.#keys.add(key);
    return true;
  }
}
