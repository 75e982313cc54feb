import { KernelMemory } from "@downpour/tensor-kernels";
import { describe, expect, test } from "vitest";
import type { PlacedSlice } from "./apply-engine.ts";
import type { Command } from "./commands.ts";
import type { EngineSetup, MakeExecutor } from "./executor.ts";

const length = 4096;

function place(memory: KernelMemory): PlacedSlice {
  return {
    length,
    isStatistic: false,
    codecRuns: [{ begin: 0, end: length, exact: false }],
    updateRuns: [{ begin: 0, end: length, decay: { l1: 0, l2: 0 }, tensorIndex: undefined }],
    weightsAt: memory.allocateFloats(length).byteOffset,
    slotsAt: [],
    accumulatorAt: memory.allocateFloats(length).byteOffset,
    meanSquareAt: undefined,
  };
}

function setUp(): EngineSetup {
  const memory = KernelMemory.create({ bytes: 1024 * 1024 });
  const decodedAt = memory.allocateFloats(length).byteOffset;
  const slices = [place(memory), place(memory)];
  return {
    memory,
    options: {
      optimizer: { name: "sgd", weightDecay: 0, weightDecayL1: 0 },
      staleness: { policy: "none" },
      statisticsDecay: 0.95,
      slices,
      decodedAt,
      beforeAt: memory.allocateFloats(length).byteOffset,
    },
  };
}

const update = (learningRate: number) => ({ learningRate, step: 1, momentum: 0 });

function gradient(setup: EngineSetup, slice: number, value: number, change: object = {}): Command {
  const payload = setup.memory.allocateFloats(length).fill(value);
  return {
    kind: "gradient",
    slice,
    codec: { name: "float32" },
    payloadAt: payload.byteOffset,
    payloadBytes: payload.byteLength,
    pulledAt: undefined,
    update: update(0.5),
    first: false,
    ...change,
  };
}

const weightsOf = ({ memory, options }: EngineSetup, slice: number) =>
  Array.from(memory.floatsAt((options.slices[slice] as PlacedSlice).weightsAt, length));

/** What every executor must do. */
export function describeExecutor(name: string, makeExecutor: MakeExecutor): void {
  describe(name, () => {
    test("runs the commands of each thread in order, over all batches handed over", async () => {
      const setups = [setUp(), setUp()] as const;
      const executor = await makeExecutor(setups, () => undefined);
      const [a, b] = setups;
      const snapshot = a.memory.allocateFloats(length);
      // w = 0, then 0 - 0.5 * 2 = -1, kept, then -1 - 0.5 * 4 = -3. Nothing awaits anything in between.
      const batches = [
        executor.submit(0, [gradient(a, 0, 2)]),
        executor.submit(0, [{ kind: "keep", slice: 0, at: snapshot.byteOffset }, gradient(a, 0, 4)]),
        executor.submit(1, [gradient(b, 1, 6)]),
      ];
      const times = await Promise.all(batches);
      expect(times.map((batch) => batch.length)).toEqual([1, 2, 1]);
      for (const ms of times.flat()) expect(ms).toBeGreaterThanOrEqual(0);
      expect(new Set(weightsOf(a, 0))).toEqual(new Set([-3]));
      expect(new Set(snapshot)).toEqual(new Set([-1]));
      expect(new Set(weightsOf(a, 1))).toEqual(new Set([0]));
      expect(new Set(weightsOf(b, 1))).toEqual(new Set([-3]));
      await executor.close();
    });

    test("adds gradients up and applies their mean", async () => {
      const setup = setUp();
      const executor = await makeExecutor([setup], () => undefined);
      await executor.submit(0, [
        gradient(setup, 0, 1, { update: undefined, first: true }),
        gradient(setup, 0, 2, { update: undefined }),
        gradient(setup, 0, 9, { update: undefined }),
        { kind: "close", slice: 0, gradients: 3, update: update(0.5) },
      ]);
      // The mean of 1, 2 and 9 is 4, in float32 within a rounding of 1/3.
      for (const w of weightsOf(setup, 0)) expect(w).toBeCloseTo(-2, 5);
      await executor.close();
    });

    test("writes encodings and differences of the weights as they are at that point", async () => {
      const setup = setUp();
      const executor = await makeExecutor([setup], () => undefined);
      const float32 = setup.memory.allocateBytes(4 * length);
      const halves = setup.memory.allocateBytes(2 * length);
      const mirror = setup.memory.allocateFloats(length);
      const difference = setup.memory.allocateBytes(length + 16);
      await executor.submit(0, [
        gradient(setup, 1, -3),
        { kind: "encode", slice: 1, codec: "float32", at: float32.byteOffset, bytes: 4 * length },
        { kind: "encode", slice: 1, codec: "bfloat16", at: halves.byteOffset, bytes: 2 * length },
        {
          kind: "encodeDifference",
          slice: 1,
          mirrorAt: mirror.byteOffset,
          at: difference.byteOffset,
          bytes: difference.length,
        },
        gradient(setup, 1, 100),
      ]);
      expect(new Float32Array(float32.slice().buffer)).toEqual(new Float32Array(length).fill(1.5));
      // 1.5 is 0x3fc00000.
      expect(new Set(new Uint16Array(halves.slice().buffer))).toEqual(new Set([0x3fc0]));
      expect(Array.from(mirror, (w) => Math.abs(w - 1.5) < 1e-6).every(Boolean)).toBe(true);
      await executor.close();
    });

    test("after it was closed a command fails, and never waits", async () => {
      const setup = setUp();
      const executor = await makeExecutor([setup], () => undefined);
      await executor.close();
      await expect(executor.submit(0, [gradient(setup, 0, 1)])).rejects.toMatchObject({
        code: "unavailable",
      });
    });
  });
}
