import type { ErrorCode } from "@downpour/errors";
import { checkJob, type Job, type JobInput } from "@downpour/job";
import type { PullCodec } from "@downpour/tensor-kernels";
import { expect } from "vitest";
import type { Pull, Push, PushedSlice, SliceVersion } from "./admission.ts";
import { inlineExecutor } from "./executor.ts";
import type { Assignment } from "./layout.ts";
import { ParameterStore } from "./parameter-store.ts";
import type { StoreOptions } from "./store-options.ts";

/** A job with what a test changes. */
export function jobWith(change: Partial<JobInput> = {}): Job {
  return checkJob(
    {
      name: "store-test",
      data: { set: { name: "digits" } },
      model: { name: "mlp" },
      optimizer: { name: "sgd" },
      learningRate: { initial: 0.5 },
      training: { epochs: 4 },
      ...change,
    },
    "the test's job",
  );
}

/** A gradient of one slice as numbers. */
export interface TestGradient {
  readonly sliceIndex: number;
  readonly base: SliceVersion;
  readonly data: Float32Array;
  readonly codec?: PushedSlice["codec"];
  /** In place of `data`: a payload as it would come. */
  readonly bytes?: Uint8Array;
}

export type TestPush = Omit<Push, "slices"> & { readonly slices: readonly TestGradient[] };

/** A slice as a pull brought it, its bytes copied. */
export interface TestWeights {
  readonly sliceIndex: number;
  readonly version: SliceVersion;
  readonly codec: PullCodec;
  readonly data: Uint8Array | undefined;
  readonly round: number;
}

/** A member that the tests read weights with. */
const reader = "reader";

export function bytesOf(values: Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

export function floatsOf(bytes: Uint8Array): Float32Array {
  // Copied, for payloads in messages lie anywhere.
  return new Float32Array(new Uint8Array(bytes).buffer);
}

/** A store as the tests use it: numbers in, numbers out. */
export class TestStore {
  readonly store: ParameterStore;
  readonly assignment: Assignment;
  readonly job: Job;

  constructor(job: Job, assignment: Assignment, options: Partial<StoreOptions> = {}) {
    this.job = job;
    this.assignment = assignment;
    this.store = new ParameterStore({ job, makeExecutor: inlineExecutor(), ...options });
  }

  /** With slices, members, and weights of which `value` tells each element. */
  static async ready(
    job: Job,
    assignment: Assignment,
    value: number | ((sliceIndex: number, i: number) => number),
    options: Partial<StoreOptions> = {},
  ): Promise<TestStore> {
    const test = new TestStore(job, assignment, options);
    await test.store.assign(assignment);
    test.setMembers(assignment.coordinatorEpoch, 1, ["worker-1", "worker-2"]);
    await test.initialize("worker-1", test.filled(value));
    return test;
  }

  get slices() {
    return [...this.store.slices];
  }

  get histogram(): number[] {
    const buckets = this.slices.map((slice) => slice.histogram.buckets);
    return (buckets[0] ?? []).map((_, t) => buckets.reduce((sum, slice) => sum + (slice[t] ?? 0), 0));
  }

  get updatesApplied(): number {
    return this.slices.reduce((sum, slice) => sum + slice.count, 0);
  }

  get counters() {
    return this.store.counters;
  }

  /** Numbers for every slice of the assignment. */
  filled(value: number | ((sliceIndex: number, i: number) => number)) {
    return this.assignment.slices.map(({ sliceIndex, length }) => ({
      sliceIndex,
      data: Float32Array.from({ length }, (_, i) =>
        typeof value === "number" ? value : value(sliceIndex, i),
      ),
    }));
  }

  setMembers(epoch: number, revision: number, memberIds: readonly string[]): void {
    this.store.setMembers(epoch, revision, [...memberIds, reader]);
  }

  initialize(
    memberId: string,
    weights: readonly { readonly sliceIndex: number; readonly data: Float32Array }[],
    fingerprint = this.assignment.manifest.fingerprint,
  ) {
    const slices = weights.map(({ sliceIndex, data }) => ({ sliceIndex, data: bytesOf(data) }));
    return this.store.initialize(memberId, fingerprint, slices);
  }

  /** A push to all slices on the versions that they have, of gradient 1 unless the test says otherwise. */
  pushOf(
    change: Partial<TestPush> = {},
    value: number | ((sliceIndex: number, i: number) => number) = 1,
  ): TestPush {
    const counts = new Map(this.slices.map((slice) => [slice.range.sliceIndex, slice.count]));
    return {
      memberId: "worker-1",
      manifestFingerprint: this.assignment.manifest.fingerprint,
      epoch: 0,
      batch: 0,
      schedule: { ...this.store.schedule, revision: 1 },
      slices: this.filled(value).map((entry) => ({
        ...entry,
        base: { term: 1, count: counts.get(entry.sliceIndex) ?? 0 },
      })),
      lastOfLease: false,
      norms: [],
      round: this.store.round,
      ...change,
    };
  }

  push(push: TestPush) {
    const slices = push.slices.map(({ sliceIndex, base, data, codec = "float32", bytes }) => ({
      sliceIndex,
      base,
      codec,
      data: bytes ?? bytesOf(data),
    }));
    return this.store.push({ ...push, slices });
  }

  /** Pushes gradient 1 (or `value`) to all slices. */
  pushAll(change: Partial<TestPush> = {}, value: number | ((sliceIndex: number, i: number) => number) = 1) {
    return this.push(this.pushOf(change, value));
  }

  async pull(change: Partial<Pull> = {}): Promise<TestWeights[]> {
    const pulled: TestWeights[] = [];
    const messages = this.store.pull({
      memberId: "worker-1",
      manifestFingerprint: this.assignment.manifest.fingerprint,
      codec: "float32",
      gated: false,
      slices: this.assignment.slices.map(({ sliceIndex }) => ({ sliceIndex, have: undefined })),
      ...change,
    });
    for await (const { slices, round } of messages) {
      for (const slice of slices) pulled.push({ ...slice, data: slice.data?.slice(), round });
    }
    return pulled;
  }

  /** The weights of every slice that has any. */
  async weights(): Promise<number[][]> {
    const slices = this.slices
      .filter((slice) => slice.initialized)
      .map(({ range: { sliceIndex } }) => ({ sliceIndex, have: undefined }));
    if (slices.length === 0) return [];
    const pulled = await this.pull({ memberId: reader, slices });
    return pulled.map(({ data }) => Array.from(floatsOf(data ?? new Uint8Array())));
  }

  /** Everything that a refused message must not change. */
  async state(): Promise<unknown> {
    const weights = await this.weights();
    const { schedule, counters, memoryBytesUsed } = this.store;
    return {
      weights,
      memoryBytesUsed,
      slices: this.slices.map(({ range, term, count, initialized, histogram }) => ({
        range,
        term,
        count,
        initialized,
        buckets: [...histogram.buckets],
      })),
      schedule: { ...schedule },
      duplicates: counters.duplicates,
    };
  }

  async expectRefusal(
    code: ErrorCode,
    message: RegExp,
    act: () => Promise<unknown> | unknown,
  ): Promise<void> {
    const before = await this.state();
    await expect((async () => act())()).rejects.toMatchObject({
      name: "DownpourError",
      code,
      message: expect.stringMatching(message),
    });
    expect(await this.state()).toEqual(before);
  }
}
