import type { Logger } from "@downpour/logging";
import type { CoordinatorCore } from "./coordinator-core.ts";

/** What may be asked of a job from outside, over gRPC and over HTTP alike. */
export interface JobCommands {
  pause(reason: string): void;
  resume(reason: string): void;
  /** @param factor the job's own where it is left out */
  dropLearningRate(factor?: number): { readonly learningRate: number; readonly revision: number };
  drain(memberId: string): void;
  /** Resolves when it is stored. */
  stop(reason: string): Promise<void>;
  /** Writes a checkpoint now; undefined while this coordinator writes none, and then nobody is offered it. */
  readonly checkpoint: (() => Promise<void>) | undefined;
}

export interface JobCommandOptions {
  readonly logger: Logger;
  readonly nowMs: () => number;
  /** Has the job's state stored. */
  readonly keepSoon: () => Promise<void>;
  /** See {@link JobCommands.checkpoint}. */
  readonly checkpoint?: () => Promise<void>;
}

/** The commands of a job, each one logged and stored. */
export function jobCommands(core: CoordinatorCore, options: JobCommandOptions): JobCommands {
  const { logger, nowMs, keepSoon, checkpoint } = options;
  return {
    checkpoint,
    pause(reason) {
      logger.info({ reason }, "asked to pause the job");
      core.control.pause();
      void keepSoon();
    },
    resume(reason) {
      logger.info({ reason }, "asked to resume the job");
      core.control.resume();
      void keepSoon();
    },
    dropLearningRate(factor) {
      logger.info({ factor: factor ?? core.control.dropFactor }, "asked to drop the learning rate");
      core.control.dropLearningRate(factor);
      void keepSoon();
      return { learningRate: core.learningRate(), revision: core.schedule.revision };
    },
    drain(memberId) {
      logger.info({ memberId }, "asked to drain a worker");
      core.control.drain(memberId);
      void keepSoon();
    },
    async stop(reason) {
      logger.info({ reason }, "asked to stop the job");
      core.stop(nowMs());
      await keepSoon();
    },
  };
}
