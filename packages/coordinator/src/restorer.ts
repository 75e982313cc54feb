import { DownpourError, messageOf } from "@downpour/errors";
import type { Logger } from "@downpour/logging";
import { loadRestorePoint } from "./checkpoint-store.ts";
import type { CoordinatorCore } from "./coordinator-core.ts";

/** Takes slices that were lost back to the newest checkpoint, as soon as there is a server for them. */
export class Restorer {
  readonly #core: CoordinatorCore;
  readonly #store: string;
  readonly #logger: Logger;
  readonly #nowMs: () => number;
  #running: Promise<boolean> | undefined;

  /** @param store folder of the checkpoints */
  constructor(core: CoordinatorCore, store: string, logger: Logger, nowMs: () => number) {
    this.#core = core;
    this.#store = store;
    this.#logger = logger;
    this.#nowMs = nowMs;
  }

  /** Does what is due. Resolves with whether the layout changed; never rejects: where there is no way back, the job fails. */
  restore(): Promise<boolean> {
    if (this.#core.servers.restorable.length === 0) return Promise.resolve(false);
    this.#running ??= this.#restore().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #restore(): Promise<boolean> {
    const { layout } = this.#core;
    if (layout === undefined) return false;
    try {
      const point = await loadRestorePoint(this.#store, layout.manifest);
      if (point.passedOver !== null) this.#logger.warn(point.passedOver);
      this.#core.rollBack(point, this.#nowMs());
      return true;
    } catch (error) {
      const reason = error instanceof DownpourError ? error.message : messageOf(error);
      this.#core.fail(
        `a parameter server was lost, and its slices can't be taken from a checkpoint in ${this.#store}: ${reason}`,
        this.#nowMs(),
      );
      return false;
    }
  }
}
