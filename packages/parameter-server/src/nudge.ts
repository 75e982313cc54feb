/** A pause that ends early when there is news: also news that came before it began. */
export class Nudge {
  #hasNews = false;
  #wake: () => void = () => undefined;

  /** There is news. */
  give(): void {
    this.#hasNews = true;
    this.#wake();
  }

  async pause(ms: number, signal: AbortSignal): Promise<void> {
    if (!this.#hasNews && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          signal.removeEventListener("abort", wake);
          resolve();
        };
        const timer = setTimeout(wake, ms);
        signal.addEventListener("abort", wake);
        this.#wake = wake;
      });
    }
    this.#hasNews = false;
  }
}
