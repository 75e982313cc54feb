import { type CoordinatorHandlers, unary } from "@downpour/protocol";
import type { JobCommands } from "./job-commands.ts";

/** The RPCs by which people control a job. */
export function controlHandlers(
  commands: JobCommands,
): Pick<CoordinatorHandlers, "StopJob" | "PauseJob" | "ResumeJob" | "DropLearningRate" | "DrainWorker"> {
  return {
    StopJob: unary(async ({ reason }) => {
      await commands.stop(reason);
      return {};
    }),
    PauseJob: unary(({ reason }) => {
      commands.pause(reason);
      return {};
    }),
    ResumeJob: unary(({ reason }) => {
      commands.resume(reason);
      return {};
    }),
    DropLearningRate: unary(({ factor }) => commands.dropLearningRate(factor === 0 ? undefined : factor)),
    DrainWorker: unary(({ memberId }) => {
      commands.drain(memberId);
      return {};
    }),
  };
}
