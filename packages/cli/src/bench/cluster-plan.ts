import type { ComputeSpec, ModelSpec } from "@downpour/job";
import type { InputShape } from "@downpour/models";
import type { Cores } from "../pinning.ts";
import type { ZooName } from "./zoo-inputs.ts";

/** What `downpour bench cluster` measures. */
export interface ClusterPlan {
  readonly name: ZooName;
  readonly model: ModelSpec;
  readonly input: InputShape;
  readonly batchSize: number;
  readonly precision: ComputeSpec["precision"];
  /** Numbers of workers, each a cluster of its own. */
  readonly workerCounts: readonly number[];
  readonly servers: number;
  readonly rounds: number;
  /** Steps of every program before those that count: V8 is late to compile what runs a few times a second only. */
  readonly warmupSeconds: number;
  /** Length of what is measured in a round. */
  readonly seconds: number;
  /** Cores that processes are pinned to; undefined where they can't be. */
  readonly cores: Cores | undefined;
}

/** The core of the worker of this index: one each, and again from the first when there are more workers. */
export function workerCores(cores: Cores | undefined, workerIndex: number): Cores | undefined {
  const core = cores?.[workerIndex % cores.length];
  return core === undefined ? undefined : [core];
}

/**
 * The cores of a role by its name. Where one worker leaves cores free, everything else runs on those; otherwise the
 * rest goes where there is room.
 */
export function roleCores(cores: Cores | undefined, workerCount: number, role: string): Cores | undefined {
  const worker = /^worker-(\d+)$/.exec(role)?.[1];
  if (worker !== undefined) return workerCores(cores, Number(worker) - 1);
  const free = cores?.slice(workerCount) ?? [];
  return free.length > 0 ? free : undefined;
}
