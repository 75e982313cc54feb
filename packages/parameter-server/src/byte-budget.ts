import { DownpourError } from "@downpour/errors";

/** Bytes that may be in use at once; who wants more than is left waits, first come first served. */
export class ByteBudget {
  readonly #what: string;
  readonly #bytesMax: number;
  #used = 0;
  readonly #waiting: { readonly bytes: number; readonly resolve: () => void }[] = [];

  /** @param what names what is bounded, in errors */
  constructor(what: string, bytesMax: number) {
    this.#what = what;
    this.#bytesMax = bytesMax;
  }

  get used(): number {
    return this.#used;
  }

  /** @throws resourceExhausted: more than all of it */
  check(bytes: number): void {
    if (bytes <= this.#bytesMax) return;
    throw new DownpourError(
      "resourceExhausted",
      `${bytes} bytes of ${this.#what} in one request; at most ${this.#bytesMax} are taken: send fewer slices at once`,
      { facts: { bytes, bytesMax: this.#bytesMax } },
    );
  }

  /** Whether the bytes are to be had at once, and nobody waits. */
  fits(bytes: number): boolean {
    return this.#waiting.length === 0 && this.#used + bytes <= this.#bytesMax;
  }

  /** Takes bytes at once, if they are to be had and nobody waits. */
  tryTake(bytes: number): boolean {
    if (!this.fits(bytes)) return false;
    this.#used += bytes;
    return true;
  }

  /** Resolves when the bytes are the caller's. */
  take(bytes: number): Promise<void> {
    this.check(bytes);
    if (this.tryTake(bytes)) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ bytes, resolve }));
  }

  give(bytes: number): void {
    this.#used -= bytes;
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      if (this.#used + next.bytes > this.#bytesMax) return;
      this.#used += next.bytes;
      this.#waiting.shift();
      next.resolve();
    }
  }
}
