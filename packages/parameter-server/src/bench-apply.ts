import { checkJob, type Job, type JobInput } from "@downpour/job";
import { cutSlices, makeManifest } from "@downpour/parameter-vector";
import { assemble } from "./assignment.ts";
import { serverBounds } from "./bounds.ts";
import type { Command } from "./commands.ts";
import type { Lane } from "./lane.ts";
import type { Assignment } from "./layout.ts";
import type { Slice } from "./slice.ts";
import { threadExecutor } from "./thread-executor.ts";

/** Updates to be timed. */
export interface ApplyMeasurement {
  readonly optimizer: JobInput["optimizer"];
  /** Elements of the parameter vector, one large weight. */
  readonly parameters: number;
  readonly applyThreads: number;
  /** Updates before those that count: the first ones touch memory. */
  readonly warmupSteps: number;
  readonly steps: number;
}

/** What one update of all parameters took. */
export interface ApplyTimes {
  /** The median. */
  readonly milliseconds: number;
  /** CPU time of the process, all threads: the mean. */
  readonly cpuMilliseconds: number;
}

/** A slice with a gradient that lies in its thread's memory, as one that came over the wire does. */
interface Fed {
  readonly slice: Slice;
  readonly payload: Uint8Array;
}

/**
 * Times updates along the way that every gradient takes after its payload was found good: bookkeeping, commands to
 * the apply threads that own the slices, optimizer, acknowledgement. For a process of its own.
 *
 * @throws resourceExhausted: the parameters don't fit in memory
 */
export async function measureApply(measurement: ApplyMeasurement): Promise<ApplyTimes> {
  const { warmupSteps, steps } = measurement;
  const job = benchJob(measurement);
  const assignment = wholeVector(measurement);
  let failed: Error | undefined;
  const assembly = await assemble(job, assignment, serverBounds, threadExecutor, (error) => {
    failed = error;
  });
  const fed = assembly.lanes.map((lane) => feed(lane, assembly.slices));
  const times: number[] = [];
  let cpu = process.cpuUsage();
  try {
    for (let step = 0; step < warmupSteps + steps; step++) {
      if (step === warmupSteps) cpu = process.cpuUsage();
      const start = performance.now();
      await Promise.all(assembly.lanes.map((lane, thread) => applyAll(lane, fed[thread] ?? [], step, job)));
      if (step >= warmupSteps) times.push(performance.now() - start);
    }
    if (failed !== undefined) throw failed;
    const { user, system } = process.cpuUsage(cpu);
    return { milliseconds: middleOf(times), cpuMilliseconds: (user + system) / 1000 / steps };
  } finally {
    await assembly.executor.close();
  }
}

function benchJob({ optimizer, applyThreads, warmupSteps, steps }: ApplyMeasurement): Job {
  return checkJob(
    {
      name: "bench-apply",
      data: { set: { name: "digits" } },
      model: { name: "lenet5" },
      optimizer,
      learningRate: { initial: 0.001 },
      training: { epochs: warmupSteps + steps },
      cluster: { workers: 1, servers: 1, applyThreads },
    },
    "the benchmark's job",
  );
}

function wholeVector({ parameters }: ApplyMeasurement): Assignment {
  const shape = [parameters];
  const manifest = makeManifest([
    { name: "weights", shape, role: "weight", trainable: true, decayed: false },
  ]);
  const slices = cutSlices(manifest, 1).map((slice) => ({ ...slice, term: 1 }));
  return { coordinatorEpoch: 1, manifest, slices, batchesPerEpoch: 1 };
}

/** Writes a gradient for each slice of a thread, small, so that weights stay finite. */
function feed(lane: Lane, slices: readonly Slice[]): Fed[] {
  return slices
    .filter((slice) => slice.lane === lane)
    .map((slice) => {
      const { length } = slice.range;
      const weights = lane.memory.floatsAt(slice.place.weightsAt, length);
      const gradient = lane.memory.allocateFloats(length);
      for (let i = 0; i < length; i++) {
        weights[i] = (i % 103) * 1e-3;
        gradient[i] = ((i * 31) % 101) * 1e-4;
      }
      return { slice, payload: lane.memory.bytesAt(gradient.byteOffset, length * 4) };
    });
}

async function applyAll(lane: Lane, fed: readonly Fed[], step: number, job: Job): Promise<void> {
  const commands: Command[] = [];
  for (const { slice, payload } of fed) {
    slice.take(
      {
        ...{ memberId: "bench-worker", epoch: step, batch: 0, base: slice.count, payload },
        codec: { name: "float32" },
        learningRate: job.learningRate.initial,
        momentum: 0.9,
        norms: undefined,
      },
      commands,
    );
  }
  await lane.submit(commands);
}

/** The median. */
function middleOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2;
}
