const validationCount = 1000;
const trainCount = 12_000;

/** How long roles of a soak look for others. */
export const soakRecoveryTimeoutMs = 120_000;

/** Examples of the training split. */
export const soakExamplesPerEpoch = trainCount - validationCount;

/** The job of a soak, as a job file. */
export function soakJob(facts: {
  /** Undefined: until it is stopped. */
  readonly epochs: number | undefined;
  readonly store: { readonly name: string; readonly servers: readonly string[] };
  readonly checkpoints: string;
  readonly servers: number;
  readonly workers: number;
  readonly replicas: 0 | 1;
}): string {
  const { epochs = 10_000, store, checkpoints, servers, workers, replicas } = facts;
  return JSON.stringify(
    {
      name: store.name,
      seed: 3,
      data: {
        set: { name: "digits", trainCount, testCount: 2000 },
        validation: validationCount,
        batchSize: 32,
        shardBatches: 8,
      },
      model: { name: "lenet5" },
      optimizer: { name: "momentum", momentum: 0.9 },
      learningRate: { initial: 0.02 },
      training: { epochs },
      evaluation: { everyEpochs: 5 },
      cluster: {
        servers,
        workers,
        replicas,
        state: "nats",
        startTimeoutMs: 180_000,
        recoveryTimeoutMs: soakRecoveryTimeoutMs,
        nats: { servers: store.servers, replicas: store.servers.length > 1 ? 3 : 1 },
        heartbeatIntervalMs: 500,
        memberTimeoutMs: 5000,
        leaseMs: 8000,
      },
      checkpoint: { uri: checkpoints, everySeconds: replicas > 0 ? 20 : 5 },
    },
    null,
    2,
  );
}
