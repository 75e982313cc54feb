import { type Job, serverOptimizer } from "@downpour/job";
import type { Manifest, SliceRange } from "@downpour/parameter-vector";
import { KernelMemory, makeOptimizer } from "@downpour/tensor-kernels";
import type { PlacedSlice } from "./apply-engine.ts";
import type { ServerBounds } from "./bounds.ts";
import type { EngineSetup, Executor, MakeExecutor } from "./executor.ts";
import { Lane } from "./lane.ts";
import { type AssignedSlice, type Assignment, dutyOf } from "./layout.ts";
import { planMemory, threadBytes } from "./memory-plan.ts";
import { Slice } from "./slice.ts";
import {
  accumulates,
  keepsMeanSquare,
  keepsPulledVersions,
  optimizerOptions,
  sliceShape,
} from "./slice-layout.ts";

/** Slices in memory, and the threads that own them. A server has one for each assignment that brought slices. */
export interface Assembly {
  readonly lanes: readonly Lane[];
  readonly slices: readonly Slice[];
  readonly executor: Executor;
}

/** Members that a server plans for: the job's workers and the evaluator. */
export function plannedMembers(job: Job): number {
  return job.cluster.workers + 1;
}

/** The slices that a group takes from an assignment. */
export type Group = Pick<Assignment, "manifest" | "slices" | "batchesPerEpoch">;

/**
 * Allocates memories for slices and starts their apply threads.
 * @param firstLane of those that the server has, the number of the first new one
 * @throws invalidArgument, resourceExhausted: slices of mixed kinds, or more than the memories hold
 */
export async function assemble(
  job: Job,
  assignment: Group,
  bounds: ServerBounds,
  makeExecutor: MakeExecutor,
  onFailure: (error: Error) => void,
  firstLane = 0,
): Promise<Assembly> {
  const { manifest, slices: ranges } = assignment;
  const members = plannedMembers(job);
  const plan = planMemory({ job, manifest, slices: ranges, members, bounds });
  const beside = threadBytes(job, ranges, bounds);
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
    const lane = new Lane(memory, { index: thread, order: firstLane + thread }, { total, keptMax }, bounds);
    lanes.push(lane);
    for (const [local, range] of own.entries()) {
      const place = placed[local] as PlacedSlice;
      const slice = makeSlice(job, assignment, range, { lane, local, place }, bounds);
      lane.slices.push(slice);
      slices.push(slice);
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
  { batchesPerEpoch }: Group,
  assigned: AssignedSlice,
  where: { readonly lane: Lane; readonly local: number; readonly place: PlacedSlice },
  bounds: ServerBounds,
): Slice {
  const { consistency, staleness } = job;
  const { sliceIndex, offset, length, term } = assigned;
  return new Slice({
    range: { sliceIndex, offset, length },
    term,
    duty: dutyOf(assigned),
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
