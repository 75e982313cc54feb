/** Whether a role takes part in its job: what `/readyz` answers. */
export class Readiness {
  #reason: string | undefined;

  /** @param reason why it does not take part yet, for people */
  constructor(reason: string) {
    this.#reason = reason;
  }

  ready(): void {
    this.#reason = undefined;
  }

  notReady(reason: string): void {
    this.#reason = reason;
  }

  /** Why it takes no part, for people; undefined when it does. */
  get reason(): string | undefined {
    return this.#reason;
  }
}
