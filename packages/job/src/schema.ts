import { z } from "zod";
import { consistency, gradient, protection, staleness, wire } from "./schema-asynchrony.ts";
import { compute, worker } from "./schema-compute.ts";
import { dashboard } from "./schema-dashboard.ts";
import { data } from "./schema-data.ts";
import { checkpoint, nats } from "./schema-durable.ts";
import { model } from "./schema-model.ts";
import { fraction, positiveInteger } from "./schema-numbers.ts";
import { optimizer } from "./schema-optimizer.ts";

/*
 * The job file. Every key has a unit in its name where it has one, a bound, a default and a description; the
 * reference table of the documentation is generated from this schema (`downpour job-file`).
 */

const rateFraction = z.number().min(0).max(1);

const schedule = z
  .discriminatedUnion("kind", [
    z.strictObject({ kind: z.literal("constant").describe("The initial rate throughout.") }),
    z.strictObject({
      kind: z.literal("step").describe("Multiply by factor at every so many epochs, or at listed epochs."),
      factor: z.number().gt(0).lt(1).default(0.1).describe("Multiplier of each step."),
      everyEpochs: z.number().gt(0).optional().describe("Step each time so many epochs have passed."),
      atEpochs: z.array(z.number().gt(0)).min(1).optional().describe("Step when these epochs begin."),
    }),
    z.strictObject({
      kind: z.literal("exponential").describe("initial * factor^epoch, continuously."),
      factor: z.number().gt(0).max(1).describe("Multiplier per epoch."),
    }),
    z.strictObject({
      kind: z
        .literal("cosine")
        .describe("Half a cosine from initial to finalFraction * initial (Loshchilov and Hutter 2017)."),
      finalFraction: rateFraction.default(0).describe("Share of the initial rate at the end."),
      epochs: z.number().gt(0).optional().describe("Length; the job's epochs where it is left out."),
    }),
    z.strictObject({
      kind: z
        .literal("polynomial")
        .describe("From initial to finalFraction * initial along (1 - progress)^power."),
      power: z.number().gt(0).max(10).default(1).describe("1 is linear decay."),
      finalFraction: rateFraction.default(0).describe("Share of the initial rate at the end."),
      epochs: z.number().gt(0).optional().describe("Length; the job's epochs where it is left out."),
    }),
  ])
  .refine((s) => s.kind !== "step" || (s.everyEpochs === undefined) !== (s.atEpochs === undefined), {
    message: "a step schedule takes exactly one of everyEpochs and atEpochs",
  })
  .default({ kind: "constant" })
  .describe("Course of the learning rate over the epochs.");

const monitor = z.enum(["loss", "accuracy"]);

const plateau = z
  .strictObject({
    monitor: monitor.default("loss").describe("Which validation figure is watched."),
    factor: z.number().gt(0).lt(1).default(0.1).describe("Multiplier of a drop."),
    patience: z
      .number()
      .int()
      .min(0)
      .default(10)
      .describe("Evaluations without improvement that are let pass before a drop."),
    threshold: z.number().min(0).default(1e-4).describe("Smallest change that counts as an improvement."),
    thresholdMode: z
      .enum(["relative", "absolute"])
      .default("relative")
      .describe("Whether the threshold is a share of the best value, or in its own unit."),
    cooldown: z.number().int().min(0).default(0).describe("Evaluations after a drop that are not counted."),
    minimumRate: z.number().min(0).default(0).describe("The rate is never dropped below this."),
    minimumChange: z
      .number()
      .min(0)
      .default(1e-8)
      .describe("A drop that would change the rate by no more than this is left out."),
  })
  .describe("Drop the learning rate when validation stops improving (ReduceLROnPlateau).");

const learningRate = z.strictObject({
  initial: z.number().gt(0).max(1000).describe("Learning rate eta before schedule, warm-up and drops."),
  schedule,
  warmup: z
    .strictObject({
      epochs: z.number().gt(0).describe("Length of the warm-up."),
      from: rateFraction.default(0).describe("Share of the scheduled rate at the first step."),
    })
    .optional()
    .describe("Rise linearly to the scheduled rate (Goyal et al. 2017)."),
  plateau: plateau.optional(),
});

const training = z.strictObject({
  epochs: positiveInteger.max(1_000_000).default(10).describe("Passes over the training split, at most."),
  targetAccuracy: z
    .number()
    .gt(0)
    .max(1)
    .optional()
    .describe("Stop when validation accuracy reaches this share."),
  earlyStopping: z
    .strictObject({
      monitor: monitor.default("loss").describe("Which validation figure is watched."),
      patience: z
        .number()
        .int()
        .min(0)
        .default(5)
        .describe("Stop after so many evaluations in a row without improvement."),
      minimumDelta: z.number().min(0).default(0).describe("Smallest change that counts as an improvement."),
      startEpoch: z.number().min(0).default(0).describe("Epochs to train before it begins to watch."),
      baseline: z.number().optional().describe("Value that has to be beaten first."),
    })
    .optional()
    .describe("Stop when validation stops improving."),
  refusedBatchesMax: positiveInteger
    .default(1000)
    .describe("The job fails when more batches than this were refused for a gradient that is not finite."),
  statisticsDecay: fraction
    .default(0.95)
    .describe(
      "Decay of batch norm's running mean and variance: 0.95 looks back about 20 batches, 1/(1 - decay).",
    ),
});

const evaluation = z.strictObject({
  everyEpochs: z.number().gt(0).default(1).describe("Measure validation loss and accuracy so often."),
  batchSize: positiveInteger.max(65_536).default(250).describe("Examples per forward pass."),
  keep: z
    .enum(["best", "last"])
    .default("best")
    .describe("Which weights become the model: those of the best evaluation, or the last ones."),
  monitor: monitor.default("accuracy").describe("Which validation figure decides what is best."),
  recalibrationBatches: z
    .number()
    .int()
    .min(0)
    .default(0)
    .describe(
      "Before the final evaluation, batch-norm statistics are measured anew over so many training batches with " +
        "the final weights; 0 keeps the servers' averages.",
    ),
});

const logging = z.strictObject({
  tensorboard: z
    .boolean()
    .default(true)
    .describe(
      "Event files for TensorBoard in the run directory: figures, histograms of weights and staleness, sample images.",
    ),
});

const milliseconds = z.number().int().min(10).max(86_400_000);

const cluster = z.strictObject({
  workers: positiveInteger.max(1024).default(2).describe("Workers that the launcher starts."),
  servers: positiveInteger.max(256).default(2).describe("Parameter servers that hold the slices."),
  replicas: z
    .number()
    .int()
    .min(0)
    .max(1)
    .default(0)
    .describe("Copies of each slice on another server: with 1, a server may die and nothing is lost."),
  applyThreads: positiveInteger
    .max(64)
    .default(1)
    .describe(
      "Threads of a server that apply gradients; more are started when the memory of one is too small.",
    ),
  host: z.string().min(1).default("127.0.0.1").describe("Address that the processes listen on."),
  port: z
    .number()
    .int()
    .min(1)
    .max(65_535)
    .optional()
    .describe("Port of the coordinator; any free one where it is left out."),
  heartbeatIntervalMs: milliseconds.default(1000).describe("How often each member reports."),
  memberTimeoutMs: milliseconds
    .default(10_000)
    .describe("A member that did not report for so long is taken for dead."),
  recoveryTimeoutMs: milliseconds
    .default(600_000)
    .describe(
      "How long members wait for a coordinator or a server that is away before they give up. Until they have joined they look for a coordinator as long as `--connect-timeout` says.",
    ),
  leaseMs: milliseconds
    .default(20_000)
    .describe("A lease that was not extended for so long goes to another worker."),
  startTimeoutMs: milliseconds
    .default(60_000)
    .describe("How long the job waits for its servers, for a worker and for an evaluator."),
  requestTimeoutMs: milliseconds.default(30_000).describe("Deadline of a call between processes."),
  serverRestartsMax: z
    .number()
    .int()
    .min(0)
    .default(10)
    .describe("How often the launcher starts a server, or the coordinator, in place of one that died."),
  workerRestartsMax: z
    .number()
    .int()
    .min(0)
    .max(1000)
    .default(3)
    .describe("How many workers that died the launcher replaces."),
  state: z
    .enum(["embedded", "nats"])
    .default("embedded")
    .describe(
      "Where the coordinator keeps its state: in the run directory, or in NATS JetStream, where another coordinator " +
        "can take over from.",
    ),
  nats: nats.prefault({}),
});

/** Schema of a job file as it is written. Unknown keys are refused. */
export const jobFileSchema = z
  .strictObject({
    name: z
      .string()
      .regex(
        /^[a-z0-9][a-z0-9._-]{0,62}$/,
        "expected lower-case letters, digits, '.', '_' and '-', at most 63 of them",
      )
      .describe("Name of the job; begins the name of its run directory."),
    seed: z
      .number()
      .int()
      .min(0)
      .max(0xffff_ffff)
      .default(1)
      .describe("Decides initial weights, validation split and the order of examples."),
    data,
    model,
    optimizer,
    learningRate,
    gradient: gradient.prefault({}).describe("What is cut off a gradient before it is pushed."),
    consistency,
    staleness,
    wire: wire.prefault({}).describe("How gradients and weights travel."),
    protection: protection
      .prefault({})
      .describe("What keeps asynchronous training from diverging. Safe by default, switched off by name."),
    training: training.prefault({}),
    evaluation: evaluation.prefault({}),
    compute: compute.prefault({}).describe("How a step is computed."),
    worker: worker.prefault({}).describe("What workers and the evaluator compute on."),
    cluster: cluster.prefault({}),
    logging: logging.prefault({}),
    dashboard: dashboard.prefault({}).describe("The live page (docs/dashboard.md)."),
    checkpoint: checkpoint
      .prefault({})
      .describe("What is kept on disk, for when more dies than others have a copy of."),
  })
  .superRefine(checkCombinations)
  .refine((job) => job.cluster.memberTimeoutMs > 2 * job.cluster.heartbeatIntervalMs, {
    path: ["cluster", "memberTimeoutMs"],
    message: "must be more than twice cluster.heartbeatIntervalMs, or a single late report counts as a death",
  })
  .refine((job) => job.cluster.replicas < job.cluster.servers, {
    path: ["cluster", "replicas"],
    message: "must be less than cluster.servers: a copy lies on another server",
  });

/** What is left to be chosen is chosen. What it makes of a job it leaves as it is. */
export const jobSchema = jobFileSchema.transform((job) => ({ ...job, staleness: chosenStaleness(job) }));

/** With more workers than this their momentum is kept apart by default. */
const sharedMomentumWorkersMax = 2;

type JobFile = z.output<typeof jobFileSchema>;
type StalenessSpec = Exclude<JobFile["staleness"], { policy: "auto" }>;

/** The staleness policy of a job that leaves it open. */
function chosenStaleness(job: JobFile): StalenessSpec {
  const { staleness: asked, optimizer, consistency: order, cluster: size, wire: codecs, protection } = job;
  if (asked.policy !== "auto") return asked;
  const momentum = optimizer.name === "momentum" || optimizer.name === "nesterov" ? optimizer.momentum : 0;
  const free = order.kind === "async" || (order.kind === "ssp" && order.bound > 0);
  const many = size.workers > sharedMomentumWorkersMax;
  const apart = many && free && momentum > 0 && codecs.push.codec !== "topK" && protection.adaptToWorkers;
  return { policy: apart ? "dana" : "none" };
}

interface Combination {
  readonly optimizer: { readonly name: string };
  readonly consistency: z.output<typeof consistency>;
  readonly staleness: z.output<typeof staleness>;
  readonly wire: z.output<typeof wire>;
  readonly worker: z.output<typeof worker>;
  readonly data: { readonly shardBatches: number };
  readonly cluster: { readonly workers: number };
}

/** Refuses what can't be had together. */
function checkCombinations(job: Combination, context: z.RefinementCtx): void {
  const refuse = (path: string[], message: string) => context.addIssue({ code: "custom", path, message });
  const plainMomentum = ["sgd", "momentum", "nesterov"].includes(job.optimizer.name);
  const { policy } = job.staleness;
  if (job.wire.push.codec === "topK" && !plainMomentum) {
    refuse(
      ["optimizer", "name"],
      "top-k gradients keep the momentum at the worker: expected sgd, momentum or nesterov",
    );
  }
  if (policy === "dana" && !plainMomentum) {
    refuse(
      ["optimizer", "name"],
      "staleness dana keeps the momentum at the worker: expected sgd, momentum or nesterov",
    );
  }
  if (policy === "dana" && job.wire.push.codec === "topK") {
    refuse(
      ["staleness", "policy"],
      "dana and top-k gradients both keep the momentum at the worker: choose one",
    );
  }
  if (!["auto", "none"].includes(policy) && job.consistency.kind === "sync") {
    refuse(["staleness", "policy"], "gradients of a sync round are never late: expected none");
  }
  if (job.consistency.kind === "sync" && job.consistency.backupWorkers >= job.cluster.workers) {
    refuse(["consistency", "backupWorkers"], `expected fewer than the ${job.cluster.workers} workers`);
  }
  if (job.data.shardBatches % job.worker.pushEvery !== 0) {
    refuse(["data", "shardBatches"], `expected a multiple of worker.pushEvery, ${job.worker.pushEvery}`);
  }
  if (job.worker.pushEvery > 1 && job.consistency.kind === "sync") {
    refuse(["worker", "pushEvery"], "rounds take one gradient of each worker: expected 1");
  }
  if (job.worker.pullEvery > 1 && ["sync", "ssp"].includes(job.consistency.kind)) {
    refuse(["worker", "pullEvery"], `${job.consistency.kind} decides when weights are pulled: expected 1`);
  }
}

/** A job file with every default filled in. */
export type Job = z.output<typeof jobSchema>;
/** A job file as people write it. */
export type JobInput = z.input<typeof jobSchema>;

export type OptimizerSpec = Job["optimizer"];
export type ModelSpec = Job["model"];
export type ComputeSpec = Job["compute"];
export type Device = Job["worker"]["device"];
export type DataSpec = Job["data"];
export type LearningRateSpec = Job["learningRate"];
export type PlateauSpec = NonNullable<LearningRateSpec["plateau"]>;
export type EarlyStoppingSpec = NonNullable<Job["training"]["earlyStopping"]>;
export type Monitor = z.output<typeof monitor>;
