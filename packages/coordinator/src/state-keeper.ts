import { DownpourError, messageOf } from "@downpour/errors";
import type { Logger } from "@downpour/logging";
import { manifestToWire } from "@downpour/parameter-vector";
import type { ClusterLayout } from "./cluster-layout.ts";
import type { CoordinatorCore } from "./coordinator-core.ts";
import { parseState } from "./coordinator-state.ts";
import type { JobStore, PutResult } from "./job-store.ts";
import { manifestKey, stateKey } from "./stored-job.ts";

export interface StateKeeperOptions {
  readonly store: JobStore;
  readonly core: CoordinatorCore;
  readonly coordinatorEpoch: number;
  /** Revision of the state that this coordinator began with; undefined where there was none. */
  readonly revision: number | undefined;
  readonly logger: Logger;
  readonly nowMs: () => number;
  /** Another coordinator has written: this one must do nothing more. */
  readonly onDeposed: (error: DownpourError) => void;
}

/**
 * Keeps the coordinator's state in its store: one value, replaced atomically by compare-and-set, so that a second writer
 * is noticed. Nothing is told to anybody before it is stored that must not be forgotten: `await keep()` first.
 */
export class StateKeeper {
  readonly #options: StateKeeperOptions;
  #revision: number | undefined;
  #stored = "";
  #storedLayout: ClusterLayout | undefined;
  #manifestStored = false;
  #running: Promise<void> = Promise.resolve();
  #next: Promise<void> | undefined;
  #deposed: DownpourError | undefined;

  constructor(options: StateKeeperOptions) {
    this.#options = options;
    this.#revision = options.revision;
  }

  /** The layout as it was stored last: the one that others may hear of. */
  get storedLayout(): ClusterLayout | undefined {
    return this.#storedLayout;
  }

  /**
   * Resolves when the state as it is now is stored. Calls that come while a write runs share the next one.
   * @throws fenced: another coordinator has taken over; otherwise what the store says (unavailable: ask again)
   */
  keep(): Promise<void> {
    this.#next ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        this.#running = this.#write();
        return this.#running;
      });
    return this.#next;
  }

  /** As {@link keep}, where nobody waits for it: what went wrong is said, and made good by the next time. */
  async keepSoon(): Promise<void> {
    try {
      await this.keep();
    } catch (error) {
      this.#options.logger.error({ err: error }, `the job's state was not stored: ${messageOf(error)}`);
    }
  }

  async #write(): Promise<void> {
    if (this.#deposed !== undefined) throw this.#deposed;
    const { core, coordinatorEpoch, nowMs } = this.#options;
    const { layout } = core;
    const state = JSON.stringify(core.state(coordinatorEpoch, nowMs()));
    if (state === this.#stored) return;
    if (layout !== undefined && !this.#manifestStored) await this.#storeManifest(layout);
    this.#revision = await this.#put(stateKey, state, this.#revision);
    this.#stored = state;
    this.#storedLayout = layout;
  }

  async #storeManifest({ manifest }: ClusterLayout): Promise<void> {
    const before = await this.#options.store.get(manifestKey);
    const text = JSON.stringify(manifestToWire(manifest));
    if (before?.value !== text) await this.#put(manifestKey, text, before?.revision);
    this.#manifestStored = true;
  }

  async #put(key: string, value: string, expected: number | undefined): Promise<number> {
    const result = await this.#options.store.put(key, value, expected);
    if (result.kind === "stored") return result.revision;
    const again = key === stateKey ? await this.#afterLostAnswer(value) : undefined;
    if (again?.kind === "stored") return again.revision;
    this.#deposed = new DownpourError(
      "fenced",
      `another coordinator has written the job's state (revision ${result.actualRevision ?? "none"}, expected ` +
        `${expected ?? "none"}): it has taken over, and this one ends`,
    );
    this.#options.onDeposed(this.#deposed);
    throw this.#deposed;
  }

  /** A write whose answer was lost may have been carried out: then the state that is there is this coordinator's own. */
  async #afterLostAnswer(value: string): Promise<PutResult | undefined> {
    const { store, coordinatorEpoch } = this.#options;
    const entry = await store.get(stateKey);
    const own = entry !== undefined && parseState(entry.value).coordinatorEpoch === coordinatorEpoch;
    return own ? store.put(stateKey, value, entry.revision) : undefined;
  }
}
