import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { DownpourError, messageOf } from "@downpour/errors";
import {
  type DurabilityPlan,
  type DurabilityProgram,
  type DurabilitySpeed,
  durabilityInput,
  durabilityPrograms,
  hiddenUnitsFor,
  parametersWith,
} from "../bench/durability-programs.ts";
import { writeMadeUpImages } from "../bench/made-up-images.ts";
import { measureInRounds } from "../bench/measure-in-rounds.ts";
import { integerOption } from "../bench/options.ts";
import { median, medianRatio } from "../bench/statistics.ts";
import { countText, figureText, tableLines } from "../bench/table.ts";
import type { Reporter } from "../reporter.ts";

/** Options of `downpour bench checkpoint` as commander hands them over. */
export interface BenchCheckpointOptions {
  readonly parameters: string;
  readonly workers: string;
  readonly servers: string;
  readonly batch: string;
  readonly rounds: string;
  readonly seconds: string;
  readonly store?: string;
}

/** `downpour bench checkpoint`: what checkpoints and replicas cost a real cluster. */
export async function benchCheckpoint(options: BenchCheckpointOptions, reporter: Reporter): Promise<void> {
  const asked = durabilityPlanOf(options);
  const store = asked.store === undefined ? undefined : await makeFolderIn(asked.store);
  const folder = await mkdtemp(join(tmpdir(), "downpour-bench-"));
  try {
    const plan = { ...asked, store };
    const images = await writeMadeUpImages(folder, durabilityInput, plan.batchSize);
    const programs = durabilityPrograms(plan, images, (text) => reporter.warn(text));
    const measured = await measureInRounds<DurabilitySpeed, DurabilityProgram>(
      programs,
      plan.rounds,
      reporter,
      ({ label }, { examplesPerSecond, writing }, round) => {
        const meanwhile =
          writing === undefined ? "" : `, ${figureText(writing)} while checkpoints are written`;
        reporter.note(`round ${round + 1}: ${label} ${figureText(examplesPerSecond)} examples/s${meanwhile}`);
      },
    );
    report(plan, measured, reporter);
  } finally {
    for (const made of [folder, store]) {
      if (made !== undefined) await rm(made, { recursive: true, force: true });
    }
  }
}

/** @throws usage: there is no such folder, or it can't be written */
async function makeFolderIn(parent: string): Promise<string> {
  try {
    return await mkdtemp(join(parent, "downpour-bench-"));
  } catch (cause) {
    throw new DownpourError("usage", `--store ${parent}: ${messageOf(cause)}`, { cause });
  }
}

/** The plan of a command line. @throws usage: an option that can't be */
export function durabilityPlanOf(options: BenchCheckpointOptions): DurabilityPlan {
  return {
    hiddenUnits: hiddenUnitsFor(integerOption("--parameters", options.parameters, 10_000, 200_000_000)),
    workers: integerOption("--workers", options.workers, 1, 64),
    servers: integerOption("--servers", options.servers, 2, 64),
    batchSize: integerOption("--batch", options.batch, 1, 65_536),
    rounds: integerOption("--rounds", options.rounds, 1, 100),
    seconds: integerOption("--seconds", options.seconds, 1, 3600),
    store: options.store === undefined ? undefined : resolve(options.store),
  };
}

function report(
  plan: DurabilityPlan,
  measured: ReadonlyMap<DurabilityProgram, readonly DurabilitySpeed[]>,
  reporter: Reporter,
): void {
  const roundsOf = (name: DurabilityProgram["name"]) =>
    [...measured].find(([program]) => program.name === name)?.[1] ?? [];
  const plain = roundsOf("plain");
  const idle = plain.map(({ examplesPerSecond }) => examplesPerSecond);
  const writing = plain.map((speed) => speed.writing ?? Number.NaN);
  const replicated = roundsOf("replicated").map(({ examplesPerSecond }) => examplesPerSecond);
  const seconds = median(plain.flatMap(({ checkpointSeconds = [] }) => checkpointSeconds));
  const ratios = { writing: medianRatio(writing, idle), replicated: medianRatio(replicated, idle) };
  const bytes = plain.at(-1)?.checkpointBytes ?? 0;
  const { hiddenUnits, workers, servers, batchSize, rounds } = plan;
  const parameters = parametersWith(hiddenUnits);
  reporter.result(
    {
      benchmark: "checkpoint",
      ...{ parameters, workers, servers, batchSize, rounds, seconds: plan.seconds },
      examplesPerSecond: median(idle),
      ratios,
      checkpoint: { bytes, seconds, trainingSecondsLost: (1 - ratios.writing) * seconds },
      programs: [...measured].map(([{ name, label }, speeds]) => ({ name, label, rounds: speeds })),
    },
    [
      ...tableLines([
        ["", "examples/s", "ratio"],
        ["no checkpoint, no replicas", figureText(median(idle)), ""],
        ["while a checkpoint is written", figureText(median(writing)), ratios.writing.toFixed(3)],
        ["cluster.replicas: 1", figureText(median(replicated)), ratios.replicated.toFixed(3)],
      ]),
      `A checkpoint has ${figureText(bytes / 1e6)} MB and takes ${figureText(seconds)} s from request to commit. ` +
        `${parameters.toLocaleString("en")} parameters with momentum, ${countText(workers, "worker")}, ` +
        `${countText(servers, "server")}, batches of ${batchSize} made-up images; medians of ` +
        `${countText(rounds, "round")} in fresh processes, ratios within a round.`,
    ],
  );
}
