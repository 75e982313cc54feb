import { checkJob, type Job, type JobInput } from "@downpour/job";
import { makeManifest } from "@downpour/parameter-vector";
import type { BatchReportInput } from "@downpour/protocol";
import type { StepResult, StepWork } from "./compute.ts";
import { allocateVectors, attachVectors } from "./member-memory.ts";
import type { OutgoingPush, Pushed } from "./push-delivery.ts";
import { PushEncoder } from "./push-encoder.ts";
import type { Session } from "./session.ts";
import { WeightReplica } from "./weight-replica.ts";

const manifest = makeManifest([
  { name: "dense/kernel", shape: [16], role: "weight", trainable: true, decayed: true },
]);
const slices = [{ sliceIndex: 0, offset: 0, length: 16 }];
const layout = { revision: 1, rollback: 0, serverAddresses: ["a"], slices: [] };

const ignore = () => undefined;

/** What the world around a worker does; the defaults do it at once and well. */
export interface FakeWorld {
  /** Batches of the leases, in turn; then the member is told to stop. */
  readonly leases: readonly (readonly number[])[];
  readonly step?: (work: StepWork) => Promise<Partial<StepResult>>;
  readonly push?: (push: OutgoingPush) => Promise<Pushed>;
  /** Whether answers to pushes bring weights, where they are asked for. */
  readonly pushesBringWeights?: boolean;
  readonly pull?: () => Promise<void>;
  readonly admit?: () => Promise<boolean>;
  readonly report?: () => Promise<{ leaseValid: boolean }>;
}

/**
 * A session with servers and a compute side in this thread. The server's weight is a sum: a gradient of 1 adds 1 to
 * its version; the gradient of a batch is its number plus 1 at every place.
 */
export function fakeSession(more: Partial<JobInput>, world: FakeWorld) {
  const job: Job = checkJob(
    {
      ...{ name: "test", data: { set: { name: "digits" } }, model: { name: "lenet5" } },
      ...{ optimizer: { name: "sgd" }, learningRate: { initial: 0.5 }, gradient: { clipNorm: "off" } },
      ...more,
      worker: { overlap: true, ...more.worker },
    },
    "the test",
  );
  const { arrays, ...vectors } = attachVectors(allocateVectors(job, manifest.length));
  const replica = new WeightReplica({ slices, weights: vectors.weights, pulled: vectors.pulled });
  /** Everything that happened, in order. */
  const log: string[] = [];
  const pushes: OutgoingPush[] = [];
  const payloads: number[] = [];
  const reports: BatchReportInput[] = [];
  const stop = new AbortController();
  const leases = [...world.leases];
  let count = 0;
  let refusals = 0;
  const note = (text: string) => log.push(text);
  const follower = { current: layout, refresh: async () => undefined };
  const listeners: (() => void)[] = [];
  /** Slices go back to a checkpoint. */
  const rollBack = () => {
    follower.current = { ...layout, rollback: follower.current.rollback + 1 };
    for (const listener of listeners) listener();
  };
  const bring = () => {
    replica.pulledSlice(0).fill(count);
    replica.received(0, { term: 1, count }, false);
  };

  const calls = {
    AcquireLease: async () => {
      const batches = leases.shift();
      // The first time is asked ahead, while the worker still has batches.
      if (batches === undefined && refusals++ > 0) stop.abort();
      const lease = batches && { leaseId: world.leases.length - leases.length, epoch: 0, batches };
      return { lease: lease ?? null, retryAfterMs: 1, rollback: follower.current.rollback };
    },
    ReportBatches: async ({ batches }: { batches: BatchReportInput[] }) => {
      const answer = await world.report?.();
      reports.push(...batches);
      return { leaseValid: true, ...answer };
    },
    ReturnLease: async ({ leaseId }: { leaseId: number }) => note(`return ${leaseId}`),
  };
  const parameters = {
    pull: async () => {
      note("pull");
      await world.pull?.();
      bring();
      note("pulled");
    },
    leaveGates: () => note("leave gates"),
    admit: async () => (await world.admit?.()) ?? true,
    delivery: (push: OutgoingPush, withWeights = false) => ({
      send: async () => {
        const asks = withWeights && world.pushesBringWeights === true;
        note(`push ${push.pushId.batch}${push.lastOfLease ? " last" : ""}${asks ? " and pull" : ""}`);
        pushes.push(push);
        const data = push.slices[0]?.data as Uint8Array;
        payloads.push(new Float32Array(data.buffer, data.byteOffset, 1)[0] as number);
        const pushed = (await world.push?.(push)) ?? {
          ...{ stalenessMean: 0, stalenessMax: 0, hasWeights: false },
        };
        count++;
        push.onAcknowledged(0, true);
        note(`acknowledged ${push.pushId.batch}`);
        if (!asks) return pushed;
        bring();
        return { ...pushed, hasWeights: true };
      },
    }),
  };
  const step = async (work: StepWork): Promise<StepResult> => {
    const { batch } = work.pushId;
    note(`step ${batch} on ${replica.bases[0]?.count} (${vectors.weights[0]})`);
    const result = await world.step?.(work);
    vectors.gradients[work.gradient].fill(batch + 1);
    note(`computed ${batch}`);
    return { loss: 1, exampleCount: 4, unreadable: [], notices: [], ...result };
  };
  const session = {
    ...{ job, manifest, vectors, replica, parameters, runDirectory: "", memberId: "worker-1" },
    batchesPerEpoch: 100,
    coordinator: { call: (method: keyof typeof calls, request: never) => calls[method](request) },
    compute: { step, rehearse: async () => undefined },
    encoder: new PushEncoder({ job, manifest, slices, arrays }),
    sum: arrays.allocateFloats(manifest.length),
    kernels: arrays.kernels,
    logger: { warn: ignore, info: ignore },
    layout: follower,
    onRollback: (listener: () => void) => listeners.push(listener),
    ...{ stopping: stop.signal, ending: stop.signal, observe: ignore },
    schedule: () => ({ revision: 1, dropFactor: 1, rateFactor: 1, momentum: 0 }),
  } as unknown as Session;
  return { session, log, pushes, payloads, reports, stop, rollBack };
}
