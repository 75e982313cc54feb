import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import {
  Bitmap,
  encodeServerPart,
  listCheckpoints,
  readServerStates,
  type ServerState,
  type SliceState,
  writePart,
} from "@downpour/checkpoint";
import { checkJob, type Job } from "@downpour/job";
import type { Logger } from "@downpour/logging";
import {
  isStatisticSlice,
  type Manifest,
  makeManifest,
  manifestFromWire,
  manifestToWire,
} from "@downpour/parameter-vector";
import {
  type AssignRequest,
  type CoordinatorCaller,
  connectCoordinator,
  isTransient,
  type ReplicaReportInput,
  type Serving,
  serve,
  services,
  unary,
  type WriteCheckpointRequest,
} from "@downpour/protocol";
import { pushIdsOf } from "./restored-slices.ts";

/* A cluster around a real coordinator: parameter servers that hold push ids and no weights, and members by hand. */

export const quiet = {
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
} as unknown as Logger;

export const manifest: Manifest = makeManifest([
  { name: "a/kernel", shape: [40, 20], role: "weight", trainable: true, decayed: true },
  { name: "a/bias", shape: [20], role: "bias", trainable: true, decayed: false },
]);

/** 2 epochs of 10 batches, leases of 4; two servers. */
export function testJob(overrides: Record<string, object> = {}): Job {
  return checkJob(
    {
      name: "fake",
      data: { set: { name: "digits" }, batchSize: 10, shardBatches: 4 },
      model: { name: "lenet5" },
      optimizer: { name: "sgd" },
      learningRate: { initial: 0.1 },
      training: { epochs: 2, ...overrides.training },
      protection: { warmStart: false },
      cluster: { servers: 2, heartbeatIntervalMs: 50, requestTimeoutMs: 5000, ...overrides.cluster },
      checkpoint: { everySeconds: 0, ...overrides.checkpoint },
      ...overrides.top,
    },
    "the test's job",
  );
}

const data = { fingerprint: "f00d", trainExamples: 100, validationExamples: 10, testExamples: 10 };

interface HeldSlice extends SliceState {
  readonly primary: boolean;
}

/** A parameter server of which only the bookkeeping exists. */
export class FakeServer {
  readonly address: string;
  readonly assigned: AssignRequest[] = [];
  memberId = "";
  index = -1;
  slices = new Map<number, HeldSlice>();
  /** Of each checkpoint that it wrote a part of: whether it was to be written slowly. */
  readonly paced: boolean[] = [];
  /** What it says of the replicas of its slices. */
  replicaState: ReplicaReportInput["state"] | undefined;
  readonly #serving: Serving;
  readonly #stopping = new AbortController();
  #beating: Promise<void> = Promise.resolve();

  private constructor(serving: Serving, handlers: { server: FakeServer | undefined }) {
    this.#serving = serving;
    this.address = serving.address;
    handlers.server = this;
  }

  static async start(coordinator: CoordinatorCaller): Promise<FakeServer> {
    const of: { server: FakeServer | undefined } = { server: undefined };
    const handlers = {
      Assign: unary((request: AssignRequest) => of.server?.assign(request)),
      SetMembers: unary(() => ({})),
      CloseRounds: unary(() => ({})),
      GetServerStatus: unary(() => ({})),
      WriteCheckpoint: unary((request: WriteCheckpointRequest) => of.server?.write(request)),
    };
    const serving = await serve(services.ParameterServer.service, handlers as never, "127.0.0.1", 0);
    const server = new FakeServer(serving, of);
    await server.register(coordinator);
    return server;
  }

  async register(coordinator: CoordinatorCaller): Promise<void> {
    const request = { address: this.address, incarnation: this.address };
    const answer = await untilTaken(() => coordinator.call("RegisterServer", request));
    this.memberId = answer.memberId;
    this.index = answer.serverIndex;
    this.#beating = this.#beat(coordinator);
  }

  /** As SIGKILL: its port refuses connections, nobody hears of it any more, and what it had is gone. */
  async die(): Promise<void> {
    this.#stopping.abort();
    await this.#beating;
    await this.#serving.close(0);
  }

  has(epoch: number, batch: number): boolean {
    return [...this.slices.values()].every(({ pushIds }) => pushIds.epochs.get(epoch)?.has(batch) ?? false);
  }

  push(epoch: number, batch: number): void {
    for (const { pushIds } of this.slices.values()) {
      const epochs = pushIds.epochs as Map<number, Bitmap>;
      const bitmap = epochs.get(epoch) ?? new Bitmap(10);
      bitmap.add(batch);
      epochs.set(epoch, bitmap);
      (pushIds as { newestEpoch: number }).newestEpoch = Math.max(pushIds.newestEpoch, epoch);
    }
  }

  async assign(request: AssignRequest) {
    this.assigned.push(request);
    const wire = manifestFromWire(request.manifest);
    const restored = request.slices.some(({ restore }) => restore)
      ? await statesIn(request.checkpoint, wire)
      : [];
    const slices = new Map<number, HeldSlice>();
    for (const { sliceIndex, offset, length, term, duty, restore } of request.slices) {
      const primary = duty === "SLICE_DUTY_PRIMARY";
      const range = { sliceIndex, offset, length };
      const known = this.slices.get(sliceIndex);
      const fresh = {
        range,
        isStatistic: isStatisticSlice(wire, range),
        term,
        count: 0,
        pushIds: (restore ? pushIdsOf(restored, [range], 10)[0] : undefined) ?? {
          newestEpoch: -1,
          epochs: new Map(),
        },
        stepSize: null,
      };
      const kept = known !== undefined && known.term <= term && !restore ? known : fresh;
      slices.set(sliceIndex, { ...kept, range, term, primary });
    }
    this.slices = slices;
    return {};
  }

  async write(request: WriteCheckpointRequest) {
    this.paced.push(request.paced);
    const place = { serverIndex: request.writerIndex, serverCount: request.writerCount, batchesPerEpoch: 10 };
    const slices = [...this.slices.values()]
      .filter(({ primary }) => primary)
      .map((slice) => ({ ...slice, weights: new Float32Array(slice.range.length), slots: new Map() }));
    const parts = [];
    for (const part of encodeServerPart(manifest, { ...place, slices })) {
      parts.push(await writePart(request.store, request, part));
    }
    return { parts };
  }

  async #beat(coordinator: CoordinatorCaller): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const replicas = this.#reports();
      await coordinator.call("Heartbeat", { memberId: this.memberId, replicas }).catch(() => undefined);
      await sleep(50, undefined, { signal }).catch(() => undefined);
    }
  }

  #reports(): ReplicaReportInput[] {
    const state = this.replicaState;
    const latest = this.assigned.at(-1)?.slices ?? [];
    if (state === undefined) return [];
    return latest
      .filter(({ replicaAddress }) => replicaAddress !== "")
      .map(({ sliceIndex, term, replicaAddress }) => ({ sliceIndex, term, replicaAddress, state }));
  }
}

async function statesIn(folder: string, wire: Manifest): Promise<ServerState[]> {
  const entry = (await listCheckpoints(dirname(folder))).find((other) => other.folder === folder);
  if (entry?.kind !== "usable") throw new Error(`${folder} can't be loaded`);
  return readServerStates(entry, wire);
}

/** A worker or an evaluator by hand. */
export class FakeMember {
  readonly coordinator: CoordinatorCaller;
  memberId = "";
  initialized = false;

  constructor(address: string) {
    this.coordinator = connectCoordinator(address, 10_000);
  }

  async join(role: "WORKER" | "EVALUATOR", incarnation: string, model = manifest): Promise<this> {
    const answer = await untilTaken(() =>
      this.coordinator.call("Join", {
        role: `MEMBER_ROLE_${role}`,
        incarnation,
        name: incarnation,
        manifest: manifestToWire(model),
        data,
      }),
    );
    this.memberId = answer.memberId;
    this.initialized = answer.initialized;
    return this;
  }

  layout() {
    return this.coordinator.call("GetLayout", { memberId: this.memberId });
  }

  async lease() {
    return (await this.coordinator.call("AcquireLease", { memberId: this.memberId })).lease;
  }

  /** Every server takes the gradient, then the batch is reported. */
  async train(
    servers: readonly FakeServer[],
    leaseId: number,
    epoch: number,
    batch: number,
  ): Promise<boolean> {
    for (const server of servers) server.push(epoch, batch);
    return this.report(leaseId, epoch, batch);
  }

  async report(leaseId: number, epoch: number, batch: number): Promise<boolean> {
    const batches = [{ batch, outcome: "BATCH_OUTCOME_APPLIED" as const, loss: 1 }];
    const request = { memberId: this.memberId, leaseId, epoch, batches };
    return (await this.coordinator.call("ReportBatches", request)).leaseValid;
  }

  /** Trains until there is no lease. Returns how many batches it trained. */
  async trainAll(servers: readonly FakeServer[]): Promise<number> {
    for (let trained = 0; ; ) {
      const lease = await this.lease();
      if (lease === null) return trained;
      for (const batch of lease.batches) await this.train(servers, lease.leaseId, lease.epoch, batch);
      trained += lease.batches.length;
    }
  }

  close(): void {
    this.coordinator.close();
  }
}

/** Calls again while the answer is "ask again". */
export async function untilTaken<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (!isTransient(error)) throw error;
      await sleep(20);
    }
  }
}

/** Waits until a condition holds; the test's own time-out bounds it. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await sleep(20);
}
