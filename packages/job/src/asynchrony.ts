import type { Job, OptimizerSpec } from "./schema.ts";

/** What the number of workers makes of a job's rate and momentum. */
export interface Adaptation {
  /** Momentum in force; beta1 of Adam and AdamW; 0 for optimizers without. */
  readonly momentum: number;
  /** Multiplier of the learning rate, in (0, 1]. */
  readonly rateFactor: number;
}

/** The momentum that the job names, beta1 of Adam and AdamW, 0 for optimizers that have none. */
export function momentumOf(optimizer: OptimizerSpec): number {
  if ("momentum" in optimizer) return optimizer.momentum;
  return "beta1" in optimizer ? optimizer.beta1 : 0;
}

/** Whether workers keep the momentum, and the servers run plain SGD: with DANA-Slim and with top-k gradients. */
export function momentumAtWorkers(job: Job): boolean {
  return job.staleness.policy === "dana" || job.wire.push.codec === "topK";
}

/** The optimizer that the servers run. */
export function serverOptimizer(job: Job): OptimizerSpec {
  if (!momentumAtWorkers(job)) return job.optimizer;
  return { name: "sgd", weightDecay: 0, weightDecayL1: 0 };
}

/** Whether a step's push and pull run beside the next step's compute. Workers in step wait for each other anyway. */
export function overlaps(job: Job): boolean {
  const inStep =
    job.consistency.kind === "sync" || (job.consistency.kind === "ssp" && job.consistency.bound === 0);
  return job.worker.overlap && !inStep;
}

/**
 * Momentum and rate for M workers that push asynchronously.
 *
 * Asynchrony among M workers acts like a momentum of 1 - 1/M on top of the explicit one (Mitliagkas et al. 2016,
 * theorem 3: the expected step keeps 1 - (1 - mu') / M of the one before). The momentum mu of the job is reached by
 * mu' = max(0, 1 - M (1 - mu)). A gradient moves the weights by eta / (1 - mu) in all; late by M - 1 updates, that
 * may be only 1/M of it (the stability bound of delayed gradient descent), so
 * eta' / (1 - mu') = eta / ((1 - mu) M): the rate stays as it is until mu' reaches 0, and shrinks from there on.
 *
 * Adam, AdamW, Adagrad and RMSProp normalise the gradient, so momentum does not multiply their steps: their rate is
 * divided by sqrt(M).
 *
 * Rounds are one worker with a larger batch (M = 1); n-softsync of c pushes counts as M / c workers.
 *
 * @param workers that train at the same time, at least 1
 */
export function adaptToWorkers(job: Job, workers: number): Adaptation {
  const momentum = momentumOf(job.optimizer);
  const unchanged = { momentum, rateFactor: 1 };
  if (!job.protection.adaptToWorkers || job.consistency.kind === "sync") return unchanged;
  const m = job.consistency.kind === "softsync" ? workers / job.consistency.pushes : workers;
  if (m <= 1) return unchanged;
  // DANA-Slim keeps each worker's momentum consistent with where the weights will be: only the rate shrinks.
  if (job.staleness.policy === "dana") return { momentum, rateFactor: 1 / m };
  const lowered = Math.max(0, 1 - m * (1 - momentum));
  const { name } = job.optimizer;
  const normalising = name === "adam" || name === "adamw" || name === "adagrad" || name === "rmsprop";
  const rateFactor = normalising ? 1 / Math.sqrt(m) : (1 - lowered) / ((1 - momentum) * m);
  return { momentum: lowered, rateFactor: Math.min(1, rateFactor) };
}
