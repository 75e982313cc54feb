/**
 * When a member's gradient has come whole: its slices may come in several messages, and gates count gradients.
 * Bounded by one gradient per member.
 */
export class PushProgress {
  readonly #sliceCount: number;
  readonly #members = new Map<string, { readonly pushKey: string; readonly slices: Set<number> }>();

  /** @param sliceCount slices that a whole gradient has at this server */
  constructor(sliceCount: number) {
    this.#sliceCount = sliceCount;
  }

  /** @returns whether these slices complete the gradient; once per gradient, also when it is sent again */
  take(memberId: string, pushKey: string, sliceIndices: readonly number[]): boolean {
    let progress = this.#members.get(memberId);
    if (progress?.pushKey !== pushKey) {
      progress = { pushKey, slices: new Set() };
      this.#members.set(memberId, progress);
    }
    const before = progress.slices.size;
    for (const index of sliceIndices) progress.slices.add(index);
    return before < this.#sliceCount && progress.slices.size === this.#sliceCount;
  }

  forget(memberId: string): void {
    this.#members.delete(memberId);
  }
}
