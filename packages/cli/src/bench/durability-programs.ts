import { checkJob, type Job } from "@downpour/job";
import type { MadeUpImages } from "./made-up-images.ts";
import type { Contender } from "./measure-in-rounds.ts";
import { withTrainingCluster } from "./training-cluster.ts";

/** What `downpour bench checkpoint` measures. */
export interface DurabilityPlan {
  /** Units of both hidden layers. */
  readonly hiddenUnits: number;
  readonly workers: number;
  readonly servers: number;
  readonly batchSize: number;
  readonly rounds: number;
  /** Length of each measurement. */
  readonly seconds: number;
  /** Folder that checkpoints go below; the run directory where it is undefined. */
  readonly store: string | undefined;
}

/** What one cluster did in one round, in examples per second. */
export interface DurabilitySpeed {
  readonly examplesPerSecond: number;
  /** While checkpoints are written; of the cluster without replicas. */
  readonly writing?: number;
  /** Of each checkpoint, from the request to the commit. */
  readonly checkpointSeconds?: readonly number[];
  readonly checkpointBytes?: number;
}

/** A cluster with or without replicas. */
export interface DurabilityProgram extends Contender<DurabilitySpeed> {
  readonly name: "plain" | "replicated";
}

export const durabilityInput = { height: 28, width: 28, channels: 1, classCount: 10 };

/** Units of two hidden layers so that the network has about so many parameters; at least 16. */
export function hiddenUnitsFor(parameters: number): number {
  const { height, width, channels, classCount } = durabilityInput;
  // inputs u + u + u u + u + classes u + classes = parameters
  const linear = height * width * channels + 2 + classCount;
  const units = (Math.sqrt(linear * linear + 4 * (parameters - classCount)) - linear) / 2;
  return Math.max(16, 16 * Math.round(units / 16));
}

/** Weights and biases of that network. */
export function parametersWith(hiddenUnits: number): number {
  const { height, width, channels, classCount } = durabilityInput;
  const inputs = height * width * channels;
  return (inputs + 1) * hiddenUnits + (hiddenUnits + 1) * hiddenUnits + (hiddenUnits + 1) * classCount;
}

/** The two clusters of a round. */
export function durabilityPrograms(
  plan: DurabilityPlan,
  images: MadeUpImages,
  onWarning: (text: string) => void,
): DurabilityProgram[] {
  let round = 0;
  return [
    {
      ...{ name: "plain", label: "without replicas", required: true },
      measure: () =>
        withTrainingCluster({ job: durabilityJob(plan, images, 0), onWarning }, async (training) => {
          await training.underWay();
          const idle: number[] = [];
          const writing: number[] = [];
          const seconds: number[] = [];
          let checkpointBytes = 0;
          // Without, with, with, without, and the other way round in the next round: what drifts falls on both.
          const order = round++ % 2 === 0 ? [false, true, true, false] : [true, false, false, true];
          for (const writes of order) {
            if (writes) {
              const { speed, checkpoints } = await training.speedWriting(plan.seconds);
              writing.push(speed.examplesPerSecond);
              for (const checkpoint of checkpoints) {
                seconds.push(checkpoint.seconds);
                checkpointBytes = checkpoint.bytes;
              }
            } else idle.push((await training.speed(plan.seconds)).examplesPerSecond);
          }
          return {
            examplesPerSecond: mean(idle),
            writing: mean(writing),
            checkpointSeconds: seconds,
            checkpointBytes,
          };
        }),
    },
    {
      ...{ name: "replicated", label: "with replicas", required: true },
      measure: () =>
        withTrainingCluster({ job: durabilityJob(plan, images, 1), onWarning }, async (training) => {
          await training.underWay();
          const { examplesPerSecond } = await training.speed(2 * plan.seconds);
          return { examplesPerSecond };
        }),
    },
  ];
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Endless training without evaluation, with checkpoints on command only. */
function durabilityJob(
  { hiddenUnits, workers, servers, batchSize, store }: DurabilityPlan,
  { spec, validationCount }: MadeUpImages,
  replicas: number,
): Job {
  return checkJob(
    {
      name: "bench-checkpoint",
      data: { set: spec, validation: validationCount, batchSize },
      model: { name: "mlp", hiddenUnits: [hiddenUnits, hiddenUnits] },
      optimizer: { name: "momentum", momentum: 0.9 },
      learningRate: { initial: 0.0001 },
      // It would hold all workers but one back for a while.
      protection: { warmStart: false },
      training: { epochs: 1_000_000 },
      evaluation: { everyEpochs: 1_000_000 },
      worker: { device: "cpu", overlap: true },
      cluster: { workers, servers, replicas, startTimeoutMs: 5 * 60_000 },
      checkpoint: {
        everySeconds: 0,
        keepLast: 1,
        keepBest: 0,
        ...(store === undefined ? {} : { uri: store }),
      },
    },
    "the benchmark's job",
  );
}
