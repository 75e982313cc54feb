import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DownpourError } from "@downpour/errors";
import type { ClusterPlan } from "../bench/cluster-plan.ts";
import {
  type ClusterProgram,
  type ClusterSpeed,
  clusterPrograms,
  type WantedPython,
} from "../bench/cluster-programs.ts";
import { type ClusterResult, clusterResults } from "../bench/cluster-results.ts";
import { writeMadeUpImages } from "../bench/made-up-images.ts";
import { measureInRounds } from "../bench/measure-in-rounds.ts";
import { integerListOption, integerOption, wordOption } from "../bench/options.ts";
import { findPython, ownProgramModels } from "../bench/pytorch.ts";
import { countText, figureText, tableLines } from "../bench/table.ts";
import { zooEntry } from "../bench/zoo-inputs.ts";
import type { CliConfig } from "../config.ts";
import { type Cores, pinnableCores } from "../pinning.ts";
import type { Reporter } from "../reporter.ts";

/** Options of `downpour bench cluster` as commander hands them over. */
export interface BenchClusterOptions {
  readonly model: string;
  readonly workers: string;
  readonly servers: string;
  readonly batch: string;
  readonly precision: string;
  readonly rounds: string;
  readonly warmup: string;
  readonly seconds: string;
  /** False with --no-pin. */
  readonly pin: boolean;
  readonly python?: string;
}

/** `downpour bench cluster`: a real cluster against the bare compute of its workers, and PyTorch's data parallelism. */
export async function benchCluster(
  options: BenchClusterOptions,
  config: CliConfig,
  reporter: Reporter,
): Promise<void> {
  const plan = clusterPlanOf(options, options.pin ? await pinnableCores() : undefined);
  const torch = await wantedPython(options, config, plan, reporter);
  if (options.pin && plan.cores === undefined)
    reporter.note("processes can't be pinned to cores here: that takes taskset");
  const folder = await mkdtemp(join(tmpdir(), "downpour-bench-"));
  try {
    const images = await writeMadeUpImages(folder, plan.input, plan.batchSize);
    const programs = clusterPrograms(plan, images, torch, (text) => reporter.warn(text));
    const measured = await measureInRounds<ClusterSpeed, ClusterProgram>(
      programs,
      plan.rounds,
      reporter,
      ({ label }, { imagesPerSecond }, round) => {
        reporter.note(`round ${round + 1}: ${label} ${figureText(imagesPerSecond)} images/s`);
      },
    );
    report(plan, clusterResults(plan.workerCounts, measured), reporter);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The plan of a command line. @throws usage: an option that can't be */
export function clusterPlanOf(options: BenchClusterOptions, cores: Cores | undefined): ClusterPlan {
  const { name, model, input } = zooEntry(options.model);
  return {
    ...{ name, model, input, cores },
    batchSize: integerOption("--batch", options.batch, 1, 65_536),
    precision: wordOption("--precision", options.precision, ["float32", "bf16"]),
    workerCounts: integerListOption("--workers", options.workers, 1, 64),
    servers: integerOption("--servers", options.servers, 1, 64),
    rounds: integerOption("--rounds", options.rounds, 1, 100),
    warmupSeconds: integerOption("--warmup", options.warmup, 0, 3600),
    seconds: integerOption("--seconds", options.seconds, 1, 3600),
  };
}

async function wantedPython(
  { python }: BenchClusterOptions,
  config: CliConfig,
  { name }: ClusterPlan,
  reporter: Reporter,
): Promise<WantedPython | undefined> {
  const unfit = ownProgramModels.includes(name)
    ? undefined
    : `this project's program has ${ownProgramModels.join(", ")}, not ${name}`;
  const found = await findPython({ python, environmentPython: config.python }, unfit);
  if (!("skipped" in found)) return { ...found, required: python !== undefined };
  reporter.note(`PyTorch is left out: ${found.skipped}`);
  return undefined;
}

function report(plan: ClusterPlan, results: readonly ClusterResult[], reporter: Reporter): void {
  const [first] = results;
  if (first === undefined) throw new DownpourError("internal", "nothing was measured");
  const { name, input, batchSize, precision, servers, rounds, warmupSeconds, seconds, cores } = plan;
  const facts = { model: name, input, batchSize, precision, servers, rounds, warmupSeconds, seconds };
  reporter.result(
    {
      benchmark: "cluster",
      ...facts,
      pinned: cores !== undefined,
      workers: first.workers,
      imagesPerSecond: first.imagesPerSecond,
      stalenessMean: first.stalenessMean,
      ratios: first.ratios,
      ratiosByCpuTime: first.ratiosByCpuTime,
      results,
    },
    resultLines(plan, results),
  );
}

function resultLines(plan: ClusterPlan, results: readonly ClusterResult[]): string[] {
  const { name, batchSize, precision, servers, rounds, warmupSeconds, seconds, cores } = plan;
  const ratioText = (ratio: number | undefined) => (ratio === undefined ? "" : ratio.toFixed(2));
  const rows = results.map(({ workers, imagesPerSecond, stalenessMean, ratios, ratiosByCpuTime }) => [
    countText(workers, "worker"),
    figureText(imagesPerSecond),
    ratioText(ratios.compute),
    ratioText(ratiosByCpuTime.compute),
    ratioText(ratios.pytorchDdp),
    ratioText(ratiosByCpuTime.pytorchDdp),
    ratioText(ratios.fewest),
    stalenessMean.toFixed(2),
  ]);
  const [first] = results;
  return [
    ...tableLines([
      [
        "",
        "images/s",
        "of bare compute",
        "by CPU time",
        "of PyTorch DDP",
        "by CPU time",
        `of ${countText(first?.workers ?? 1, "worker")}`,
        "staleness",
      ],
      ...rows,
    ]),
    `${name}, ${precision}, batches of ${batchSize} made-up images at each worker, ${countText(servers, "server")}, ` +
      `${cores === undefined ? "no process pinned" : "a core for each worker"}; medians of ` +
      `${countText(rounds, "round")} of ${countText(seconds, "second")} in fresh processes, each after ` +
      `${countText(warmupSeconds, "second")} of warm-up; ratios within a round.`,
  ];
}
