import type { ComputeSpec, Device, ModelSpec } from "@downpour/job";
import type { InputShape } from "@downpour/models";
import type { ZooName } from "./zoo-inputs.ts";

/** What all programs of a benchmark compute. */
export interface ComputePlan {
  readonly name: ZooName;
  readonly model: ModelSpec;
  readonly input: InputShape;
  /** Whether the input has the network's usual size. */
  readonly usualInput: boolean;
  readonly batchSize: number;
  readonly precision: ComputeSpec["precision"];
  readonly device: Device;
  readonly threads: number;
  readonly rounds: number;
  /** Steps before those that count. */
  readonly warmupSteps: number;
  /** Steps that count, of each program in each round. */
  readonly steps: number;
}

/** What one program took in one round. */
export interface ProgramTimes {
  /** By the median step. */
  readonly imagesPerSecond: number;
  /** CPU time of the median step, all threads; undefined where the program does not say. */
  readonly cpuMilliseconds: number | undefined;
  /** At the initial weights, in nats. */
  readonly loss: number | undefined;
  readonly notices: readonly string[];
}
