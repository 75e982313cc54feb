import { type Job, type OptimizerSpec, serverOptimizer } from "@downpour/job";
import {
  codecRuns,
  decayedRanges,
  isStatisticSlice,
  type Manifest,
  type SliceRange,
  tensorRuns,
} from "@downpour/parameter-vector";
import {
  type CodecRun,
  type Decay,
  makeOptimizer,
  noDecay,
  type OptimizerOptions,
  type PushCodec,
} from "@downpour/tensor-kernels";

/** Elements that one update call takes: neighbours with one decay, or (LARS) one tensor. */
export interface UpdateRun {
  readonly begin: number;
  readonly end: number;
  readonly decay: Decay;
  /** LARS: the tensor whose norms hold; undefined for biases and norm scales, whose rate is their own. */
  readonly tensorIndex: number | undefined;
}

/** What a slice is, apart from where its arrays lie. Plain data. */
export interface SliceShape {
  readonly length: number;
  readonly isStatistic: boolean;
  readonly codecRuns: readonly CodecRun[];
  readonly updateRuns: readonly UpdateRun[];
}

/** @throws invalidArgument: it holds moving statistics beside what gradients update */
export function sliceShape(job: Job, manifest: Manifest, range: SliceRange): SliceShape {
  const isStatistic = isStatisticSlice(manifest, range);
  return {
    length: range.length,
    isStatistic,
    codecRuns: codecRuns(manifest, range),
    updateRuns: isStatistic
      ? [{ begin: 0, end: range.length, decay: noDecay, tensorIndex: undefined }]
      : updateRuns(serverOptimizer(job), manifest, range),
  };
}

function updateRuns(optimizer: OptimizerSpec, manifest: Manifest, range: SliceRange): UpdateRun[] {
  const penalty: Decay = { l1: optimizer.weightDecayL1, l2: optimizer.weightDecay };
  const decays = penalty.l1 > 0 || penalty.l2 > 0;
  if (optimizer.name === "lars") {
    return tensorRuns(manifest, range).map(({ begin, end, tensorIndex, decayed, exact }) => ({
      begin,
      end,
      decay: decayed && decays ? penalty : noDecay,
      tensorIndex: exact ? undefined : tensorIndex,
    }));
  }
  const runs: UpdateRun[] = [];
  let at = 0;
  const add = (end: number, decay: Decay) => {
    if (end > at) runs.push({ begin: at, end, decay, tensorIndex: undefined });
    at = end;
  };
  for (const { begin, end } of decays ? decayedRanges(manifest, range) : []) {
    add(begin, noDecay);
    add(end, penalty);
  }
  add(range.length, noDecay);
  return runs;
}

/** The optimizer that the servers of a job run, in the kernels' words. */
export function optimizerOptions(spec: OptimizerSpec): OptimizerOptions {
  return spec.name === "lars" ? { ...spec, trust: spec.trustCoefficient } : spec;
}

/** The codec of a job's gradients, in the kernels' words. */
export function pushCodecOf(job: Job): PushCodec {
  const { push } = job.wire;
  return push.codec === "topK" ? { name: "topK", ratio: push.ratio } : { name: push.codec };
}

/** Names of the arrays of optimizer state that a slice has, in their order. */
export function slotNamesOf(job: Job, isStatistic: boolean): readonly string[] {
  return isStatistic ? [] : makeOptimizer(optimizerOptions(serverOptimizer(job))).slotNames;
}

/** Arrays of optimizer state that a slice has. */
export function slotCount(job: Job, isStatistic: boolean): number {
  return slotNamesOf(job, isStatistic).length;
}

/** Whether gradients wait for others before an update. */
export function accumulates(job: Job): boolean {
  const { consistency } = job;
  return consistency.kind === "sync" || (consistency.kind === "softsync" && consistency.pushes > 1);
}

/** Whether the staleness policy asks for the weights that a gradient was computed on. */
export function keepsPulledVersions(job: Job): boolean {
  return job.staleness.policy === "delayCompensation" || job.staleness.policy === "gapAware";
}

/** Whether the staleness policy keeps a mean square of each element. */
export function keepsMeanSquare(job: Job): boolean {
  return job.staleness.policy === "delayCompensation" && job.staleness.variant === "adaptive";
}
