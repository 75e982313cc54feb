/** Events kept for readers that are behind; older ones are dropped. */
const keptMax = 10_000;

/**
 * Events that any number of readers follow, each from the first one kept: `for await (const event of stream)`. A reader
 * ends with the stream, or throws what the stream failed with.
 */
export class EventStream<T> implements AsyncIterable<T> {
  readonly #kept: T[] = [];
  /** Number of the first event kept. */
  #first = 0;
  #end: { readonly error: unknown } | undefined;
  #waiting: (() => void)[] = [];

  push(event: T): void {
    if (this.#end !== undefined) return;
    this.#kept.push(event);
    if (this.#kept.length > keptMax) {
      this.#kept.shift();
      this.#first++;
    }
    this.#wake();
  }

  /** No event comes any more. @param error what readers throw; they just end without one */
  end(error?: unknown): void {
    this.#end ??= { error };
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, void> {
    for (let next = 0; ; ) {
      next = Math.max(next, this.#first);
      if (next < this.#first + this.#kept.length) {
        yield this.#kept[next - this.#first] as T;
        next++;
      } else if (this.#end === undefined) {
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      } else {
        if (this.#end.error !== undefined) throw this.#end.error;
        return;
      }
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }
}
