import type { ClusterProgram, ClusterProgramName, ClusterSpeed } from "./cluster-programs.ts";
import type { StepCpu } from "./cluster-run.ts";
import { median, medianRatio } from "./statistics.ts";

/** What was measured with one number of workers: medians over the rounds, and the rounds. */
export interface ClusterResult {
  readonly workers: number;
  readonly imagesPerSecond: number;
  readonly stalenessMean: number;
  readonly ratios: ClusterRatios;
  readonly ratiosByCpuTime: CpuRatios;
  /** Of a step, by kind of process. */
  readonly cpuMilliseconds: StepCpu | undefined;
  readonly programs: readonly {
    readonly name: ClusterProgramName;
    readonly label: string;
    readonly imagesPerSecond: number;
    readonly rounds: readonly ClusterSpeed[];
  }[];
}

/** How many times the speed of others the cluster has: of its bare compute, of PyTorch, of the first cluster. */
export interface ClusterRatios {
  readonly compute?: number;
  readonly pytorchDdp?: number;
  readonly fewest: number;
}

/**
 * What the others need of CPU time for a step over what the cluster needs: against bare compute what its workers
 * need, against PyTorch what all its processes need together.
 */
export interface CpuRatios {
  readonly compute?: number;
  readonly pytorchDdp?: number;
}

/** Results by number of workers, in order. */
export function clusterResults(
  workerCounts: readonly number[],
  measured: ReadonlyMap<ClusterProgram, readonly ClusterSpeed[]>,
): ClusterResult[] {
  const roundsOf = (count: number | undefined, name: ClusterProgramName) =>
    [...measured].find(([program]) => program.workers === count && program.name === name)?.[1];
  const speedsOf = (count: number | undefined, name: ClusterProgramName) =>
    roundsOf(count, name)?.map(({ imagesPerSecond }) => imagesPerSecond);
  const fewest = speedsOf(workerCounts[0], "cluster") ?? [];
  return workerCounts.map((workers) => {
    const own = speedsOf(workers, "cluster") ?? [];
    const compute = speedsOf(workers, "compute");
    const ddp = speedsOf(workers, "pytorchDdp");
    const programs = [...measured].filter(([program]) => program.workers === workers);
    const clusterRounds = roundsOf(workers, "cluster") ?? [];
    const staleness = clusterRounds.map(({ stalenessMean }) => stalenessMean ?? Number.NaN);
    const cpu = allDefined(clusterRounds);
    return {
      workers,
      imagesPerSecond: median(own),
      stalenessMean: median(staleness),
      ratios: {
        ...(compute === undefined ? {} : { compute: medianRatio(own, compute) }),
        ...(ddp === undefined ? {} : { pytorchDdp: medianRatio(own, ddp) }),
        fewest: medianRatio(own, fewest),
      },
      ratiosByCpuTime: cpuRatios(cpu, roundsOf(workers, "compute"), roundsOf(workers, "pytorchDdp")),
      cpuMilliseconds: cpu && {
        workers: median(cpu.map((times) => times.workers)),
        servers: median(cpu.map((times) => times.servers)),
        others: median(cpu.map((times) => times.others)),
      },
      programs: programs.map(([{ name, label }, rounds]) => ({
        ...{ name, label, rounds },
        imagesPerSecond: median(rounds.map(({ imagesPerSecond }) => imagesPerSecond)),
      })),
    };
  });
}

function cpuRatios(
  cluster: readonly StepCpu[] | undefined,
  compute: readonly ClusterSpeed[] | undefined,
  ddp: readonly ClusterSpeed[] | undefined,
): CpuRatios {
  if (cluster === undefined) return {};
  const bare = compute && allDefined(compute)?.map(({ workers }) => workers);
  const peer = ddp && allDefined(ddp)?.map(({ workers }) => workers);
  const atWorkers = cluster.map(({ workers }) => workers);
  const inAll = cluster.map(({ workers, servers, others }) => workers + servers + others);
  return {
    ...(bare === undefined ? {} : { compute: medianRatio(bare, atWorkers) }),
    ...(peer === undefined ? {} : { pytorchDdp: medianRatio(peer, inAll) }),
  };
}

/** CPU times of all rounds, or undefined if one has none. */
function allDefined(rounds: readonly ClusterSpeed[]): StepCpu[] | undefined {
  const times = rounds.flatMap(({ cpuMilliseconds }) => cpuMilliseconds ?? []);
  return times.length === rounds.length ? times : undefined;
}
