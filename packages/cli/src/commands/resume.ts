import { access } from "node:fs/promises";
import { resolve } from "node:path";
import { DownpourError } from "@downpour/errors";
import type { CliConfig } from "../config.ts";
import type { Reporter } from "../reporter.ts";
import { filesOf } from "./run-directory.ts";
import { train } from "./train.ts";
import type { TrainOptions } from "./train-options.ts";

/** `downpour resume RUN`: a run goes on from its newest checkpoint, also on other numbers of servers and workers. */
export async function resume(
  runDirectory: string,
  options: TrainOptions,
  config: CliConfig,
  reporter: Reporter,
): Promise<number> {
  const path = resolve(runDirectory);
  const { jobFile } = filesOf(path);
  const found = await access(jobFile).then(
    () => true,
    () => false,
  );
  if (!found) {
    throw new DownpourError(
      "usage",
      `${path} holds no run: ${jobFile} is not there; name a folder that downpour train made`,
    );
  }
  return await train(jobFile, options, config, reporter, path);
}
