import type { Logger } from "@downpour/logging";
import type { CoordinatorCore } from "./coordinator-core.ts";

/** What may be asked of a job from outside, over gRPC and over HTTP alike. */
export interface JobCommands {
  pause(reason: string): void;
  resume(reason: string): void;
  /** @param factor the job's own where it is left out */
  dropLearningRate(factor?: number): { readonly learningRate: number; readonly revision: number };
  drain(memberId: string): void;
  stop(reason: string): void;
  /** Writes a checkpoint now; undefined while this coordinator writes none, and then nobody is offered it. */
  readonly checkpoint: (() => Promise<void>) | undefined;
}

/** The commands of a job, each one logged. @param checkpoint see {@link JobCommands.checkpoint} */
export function jobCommands(
  core: CoordinatorCore,
  logger: Logger,
  nowMs: () => number,
  checkpoint?: () => Promise<void>,
): JobCommands {
  return {
    checkpoint,
    pause(reason) {
      logger.info({ reason }, "asked to pause the job");
      core.control.pause();
    },
    resume(reason) {
      logger.info({ reason }, "asked to resume the job");
      core.control.resume();
    },
    dropLearningRate(factor) {
      logger.info({ factor: factor ?? core.control.dropFactor }, "asked to drop the learning rate");
      core.control.dropLearningRate(factor);
      return { learningRate: core.learningRate(), revision: core.schedule.revision };
    },
    drain(memberId) {
      logger.info({ memberId }, "asked to drain a worker");
      core.control.drain(memberId);
    },
    stop(reason) {
      logger.info({ reason }, "asked to stop the job");
      core.stop(nowMs());
    },
  };
}
