import type { Job } from "@downpour/job";
import { makeManifest, manifestToWire } from "@downpour/parameter-vector";
import {
  type AssignedSliceInput,
  type IdentityFiles,
  loadIdentity,
  type ParameterServerCaller,
  type PushResponse,
} from "@downpour/protocol";
import type { After } from "./gate-keeper.ts";
import { grpcReplicas } from "./grpc-replica.ts";
import { ParameterStore } from "./parameter-store.ts";
import { readCheckpoint } from "./read-checkpoint.ts";
import { serveStore } from "./served-store.test.suite.ts";
import { bytesOf, floatsOf } from "./test-store.test.suite.ts";
import { threadExecutor } from "./thread-executor.ts";

/* Real servers over loopback, with apply threads, and members that push to wherever the layout says. */

export const memberIds = ["worker-1", "worker-2"];
export const batchesPerEpoch = 4000;

const sliceLength = 1024;
export const manifest = makeManifest([
  { name: "kernel", shape: [6 * sliceLength], role: "weight", trainable: true, decayed: true },
]);
export const ranges = Array.from({ length: 6 }, (_, sliceIndex) => ({
  sliceIndex,
  offset: sliceIndex * sliceLength,
  length: sliceLength,
}));

const after: After = (ms, callBack) => {
  const timer = setTimeout(callBack, ms).unref();
  return () => clearTimeout(timer);
};

export interface TestServer {
  readonly address: string;
  readonly store: ParameterStore;
  readonly caller: ParameterServerCaller;
  readonly assign: (
    layoutRevision: number,
    slices: readonly AssignedSliceInput[],
    more?: { readonly checkpoint?: string; readonly coordinatorEpoch?: number },
  ) => Promise<unknown>;
  /** Pushes the same value everywhere; the counts that are acknowledged. */
  readonly push: (batch: number, slices: readonly PushedTestSlice[], value?: number) => Promise<PushResponse>;
  readonly weights: () => Promise<number[]>;
  readonly counts: () => number[];
  readonly close: () => Promise<void>;
}

export interface PushedTestSlice {
  readonly sliceIndex: number;
  readonly term: number;
  readonly count: number;
}

/** A server that listens on a free port of this machine. */
export async function startServer(job: Job, files?: IdentityFiles): Promise<TestServer> {
  const identity = await loadIdentity(files, "server");
  const coordinator = await loadIdentity(files, "coordinator");
  const store: ParameterStore = new ParameterStore({
    job,
    makeExecutor: threadExecutor,
    after,
    readCheckpoint,
    connectReplica: grpcReplicas({
      identity,
      timeoutMs: 10_000,
      manifestFingerprint: () => store.manifestFingerprint,
    }),
  });
  const served = await serveStore(store, { server: identity, client: coordinator });
  const { address, caller, close } = served;
  return {
    address,
    store,
    caller,
    close,
    async assign(layoutRevision, slices, more = {}) {
      await caller.call("Assign", {
        coordinatorEpoch: 1,
        manifest: manifestToWire(manifest),
        slices: [...slices],
        batchesPerEpoch,
        layoutRevision,
        ...more,
      });
      return caller.call("SetMembers", { coordinatorEpoch: 1, revision: 1, memberIds });
    },
    async push(batch, slices, value = 1) {
      const data = bytesOf(new Float32Array(sliceLength).fill(value));
      const request = {
        memberId: "worker-1",
        manifestFingerprint: manifest.fingerprint,
        pushId: { epoch: 0, batch },
        schedule: { revision: 1, dropFactor: 1, rateFactor: 1, momentum: 0.5 },
        slices: slices.map(({ sliceIndex, ...base }) => ({
          sliceIndex,
          base,
          codec: "CODEC_FLOAT32" as const,
          data,
        })),
      };
      return await served.push(request);
    },
    async weights() {
      const slices = [...store.slices].map(({ range }) => ({
        sliceIndex: range.sliceIndex,
        have: undefined,
      }));
      const weights: number[] = [];
      const pull = store.pull({
        memberId: "worker-2",
        manifestFingerprint: manifest.fingerprint,
        codec: "float32",
        gated: false,
        slices,
      });
      for await (const message of pull) {
        for (const { data } of message.slices)
          weights.push(floatsOf(data ?? new Uint8Array())[0] ?? Number.NaN);
      }
      return weights;
    },
    counts: () => [...store.slices].map(({ count }) => count),
  };
}

export async function initialize({ caller }: TestServer, slices: typeof ranges, value = 2): Promise<void> {
  await caller.call("Initialize", {
    memberId: "worker-1",
    manifestFingerprint: manifest.fingerprint,
    slices: slices.map(({ sliceIndex, length }) => ({
      sliceIndex,
      codec: "CODEC_FLOAT32" as const,
      data: bytesOf(new Float32Array(length).fill(value)),
    })),
  });
}

/** Resolves when the condition holds; the test's own time limit bounds the wait. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

export function inStep({ store }: TestServer, count: number): boolean {
  return store.replicaReports.filter((report) => report.inStep).length === count;
}
