import { DownpourError } from "@downpour/errors";
import { type Job, serverOptimizer } from "@downpour/job";
import { type Manifest, type SliceRange, sliceLengthMax } from "@downpour/parameter-vector";
import { KernelMemory, makeOptimizer } from "@downpour/tensor-kernels";
import type { PlacedSlice } from "./apply-engine.ts";
import type { ServerBounds } from "./bounds.ts";
import type { EngineSetup, Executor, MakeExecutor } from "./executor.ts";
import { Lane } from "./lane.ts";
import { planMemory, threadBytes } from "./memory-plan.ts";
import { Slice } from "./slice.ts";
import {
  accumulates,
  keepsMeanSquare,
  keepsPulledVersions,
  optimizerOptions,
  sliceShape,
} from "./slice-layout.ts";

/** Slices that the coordinator gives to this server. */
export interface Assignment {
  readonly coordinatorEpoch: number;
  readonly manifest: Manifest;
  readonly slices: readonly (SliceRange & { readonly term: number })[];
  readonly batchesPerEpoch: number;
}

export function sameAssignment(a: Assignment, b: Assignment): boolean {
  return (
    a.manifest.fingerprint === b.manifest.fingerprint &&
    a.batchesPerEpoch === b.batchesPerEpoch &&
    JSON.stringify(a.slices) === JSON.stringify(b.slices)
  );
}

/** @throws invalidArgument: slices that the manifest doesn't have, or twice */
export function checkAssignment({ manifest, slices }: Assignment): void {
  const indices = new Set(slices.map((range) => range.sliceIndex));
  if (indices.size < slices.length) {
    throw new DownpourError("invalidArgument", "a slice occurs twice in one assignment");
  }
  for (const { sliceIndex, offset, length } of slices) {
    if (length > sliceLengthMax) {
      throw new DownpourError(
        "invalidArgument",
        `slice ${sliceIndex} has ${length} elements; at most ${sliceLengthMax} are allowed`,
      );
    }
    if (length < 1 || offset + length > manifest.length) {
      throw new DownpourError(
        "invalidArgument",
        `slice ${sliceIndex} covers elements ${offset} to ${offset + length}, but the parameter vector has ` +
          `${manifest.length}`,
      );
    }
  }
}

/** What an assignment becomes: slices in memory, and the threads that own them. */
export interface Assembly {
  readonly lanes: readonly Lane[];
  readonly slices: readonly Slice[];
  readonly executor: Executor;
}

/** Members that a server plans for: the job's workers and the evaluator. */
export function plannedMembers(job: Job): number {
  return job.cluster.workers + 1;
}

/**
 * Allocates the memories of an assignment and starts its apply threads.
 * @throws invalidArgument, resourceExhausted: slices of mixed kinds, or more than the memories hold
 */
export async function assemble(
  job: Job,
  assignment: Assignment,
  bounds: ServerBounds,
  makeExecutor: MakeExecutor,
  onFailure: (error: Error) => void,
): Promise<Assembly> {
  const { manifest, slices: ranges } = assignment;
  const members = plannedMembers(job);
  const plan = planMemory({ job, manifest, slices: ranges, members, bounds });
  const beside = threadBytes(ranges, bounds);
  const longest = Math.max(1, ...ranges.map((range) => range.length));
  const setups: EngineSetup[] = [];
  const lanes: Lane[] = [];
  const slices: Slice[] = [];
  for (const [thread, bytes] of plan.memoryBytes.entries()) {
    const memory = KernelMemory.create({ bytes });
    const total = memory.bytesFree;
    const own = ranges.filter((_, index) => plan.threads[index] === thread);
    const placed = own.map((range) => placeSlice(job, manifest, range, memory));
    const options = {
      optimizer: serverOptimizer(job),
      staleness: job.staleness,
      statisticsDecay: job.training.statisticsDecay,
      slices: placed,
      decodedAt: memory.allocateFloats(longest).byteOffset,
      beforeAt: memory.allocateFloats(longest).byteOffset,
    };
    setups.push({ memory, options });
    const encodings = own.reduce((sum, range) => sum + 2 * 4 * range.length, 0);
    const keptMax = memory.bytesFree - beside - encodings;
    lanes.push(new Lane(memory, thread, { total, keptMax }, bounds));
    for (const [local, range] of own.entries()) {
      const place = placed[local] as PlacedSlice;
      slices.push(makeSlice(job, assignment, range, { thread, local, place }, bounds));
    }
  }
  const executor = await makeExecutor(setups, onFailure);
  for (const lane of lanes) lane.start(executor);
  slices.sort((a, b) => a.range.sliceIndex - b.range.sliceIndex);
  return { lanes, slices, executor };
}

function placeSlice(job: Job, manifest: Manifest, range: SliceRange, memory: KernelMemory): PlacedSlice {
  const shape = sliceShape(job, manifest, range);
  const allocate = () => memory.allocateFloats(range.length);
  const optimizer = makeOptimizer(optimizerOptions(serverOptimizer(job)), memory.kernels);
  const slots = shape.isStatistic ? [] : optimizer.slotNames.map(allocate);
  optimizer.initInPlace(slots);
  const trained = !shape.isStatistic;
  return {
    ...shape,
    weightsAt: allocate().byteOffset,
    slotsAt: slots.map((slot) => slot.byteOffset),
    accumulatorAt: trained && accumulates(job) ? allocate().byteOffset : undefined,
    meanSquareAt: trained && keepsMeanSquare(job) ? allocate().byteOffset : undefined,
  };
}

function makeSlice(
  job: Job,
  { batchesPerEpoch }: Assignment,
  { term, ...range }: Assignment["slices"][number],
  where: { readonly thread: number; readonly local: number; readonly place: PlacedSlice },
  bounds: ServerBounds,
): Slice {
  const { consistency, staleness } = job;
  return new Slice({
    range,
    term,
    ...where,
    batchesPerEpoch,
    gradientsPerUpdate: gradientsPerUpdate(consistency),
    inverse: staleness.policy === "inverse",
    pulledVersionsMax: keepsPulledVersions(job) ? bounds.pulledVersionsPerMemberMax : undefined,
  });
}

function gradientsPerUpdate(consistency: Job["consistency"]): number | undefined {
  if (consistency.kind === "sync") return undefined;
  return consistency.kind === "softsync" ? consistency.pushes : 1;
}
