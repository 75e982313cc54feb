import { DownpourError, messageOf } from "@downpour/errors";
import type { Logger } from "@downpour/logging";
import type { CoordinatorCore } from "./coordinator-core.ts";
import type { JobStore } from "./job-store.ts";

/** The key under which the job's state is stored. */
const stateKey = "state";

/**
 * Keeps the coordinator's state in its store: one value, replaced atomically, by compare-and-set so that a
 * second writer is noticed.
 */
export class StateKeeper {
  readonly #store: JobStore;
  readonly #core: CoordinatorCore;
  readonly #logger: Logger;
  #revision: number | undefined;
  #stored = "";
  #storing: Promise<void> | undefined;

  constructor(store: JobStore, core: CoordinatorCore, logger: Logger) {
    this.#store = store;
    this.#core = core;
    this.#logger = logger;
  }

  /** Stores what changed since the last time; at most one write runs at once. */
  keep(): Promise<void> {
    this.#storing ??= this.#write().finally(() => {
      this.#storing = undefined;
    });
    return this.#storing;
  }

  async #write(): Promise<void> {
    const core = this.#core;
    const state = JSON.stringify({
      lifecycle: core.lifecycle,
      control: core.control.snapshot(),
      asynchrony: core.asynchrony.snapshot(),
      ledger: core.ledger?.snapshot() ?? null,
      membership: core.membership.snapshot(),
      evaluations: core.evaluations.snapshot(),
    });
    if (state === this.#stored) return;
    try {
      const result = await this.#store.put(stateKey, state, this.#revision);
      if (result.kind === "conflict") {
        throw new DownpourError(
          "failedPrecondition",
          `revision ${result.actualRevision ?? "none"} of the job's state is stored, expected ${this.#revision ?? "none"}: ` +
            "another coordinator writes to it",
        );
      }
      this.#revision = result.revision;
      this.#stored = state;
    } catch (error) {
      this.#logger.error({ err: error }, `the job's state was not stored: ${messageOf(error)}`);
    }
  }
}
