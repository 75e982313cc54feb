import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { KernelMemory } from "./kernel-memory.ts";
import { noDecay } from "./kernels.ts";

const exhausted = expect.objectContaining({ code: "resourceExhausted" });
const internal = expect.objectContaining({ code: "internal" });

describe("a kernel memory", () => {
  test("gives arrays of zeros that begin at multiples of 64 bytes, in shared memory", () => {
    const memory = KernelMemory.create({ bytes: 1000 });
    const arrays = [memory.allocateFloats(3), memory.allocateBytes(65), memory.allocateFloats(0)];
    for (const array of arrays) {
      expect(array.byteOffset % 64).toBe(0);
      expect(array.buffer).toBeInstanceOf(SharedArrayBuffer);
      expect(array.every((value) => value === 0)).toBe(true);
    }
    expect(arrays.map(({ length }) => length)).toEqual([3, 65, 0]);
    // 64, 128 and 64 of 1,024.
    expect(memory.bytesFree).toBe(1024 - 256);
  });

  test("is full when it is, says so with numbers, and has room again after a free", () => {
    const memory = KernelMemory.create({ bytes: 256 });
    const first = memory.allocateFloats(32);
    const second = memory.allocateFloats(32);
    expect(() => memory.allocateFloats(1)).toThrow(exhausted);
    expect(() => memory.allocateFloats(1)).toThrow(/64 bytes do not fit.*0 bytes are free/);
    memory.free(first);
    expect(memory.allocateFloats(16).byteOffset).toBe(first.byteOffset);
    memory.free(second);
    expect(() => memory.allocateFloats(64)).toThrow(/192 bytes are free, 192 of them in one piece/);
  });

  test("refuses to free twice, a part, or what is not its own", () => {
    const memory = KernelMemory.create({ bytes: 256 });
    const view = memory.allocateFloats(32);
    expect(() => memory.free(view.subarray(16))).toThrow(internal);
    memory.free(view);
    expect(() => memory.free(view)).toThrow(internal);
    expect(() => memory.free(new Float32Array(32))).toThrow(internal);
    expect(() => memory.free(KernelMemory.create({ bytes: 256 }).allocateFloats(32))).toThrow(internal);
  });

  test("refuses sizes beyond 4 GiB and sizes that are none, naming both numbers", () => {
    for (const bytes of [2 ** 32, -1, Number.NaN])
      expect(() => KernelMemory.create({ bytes })).toThrow(exhausted);
    expect(() => KernelMemory.create({ bytes: 2 ** 32 })).toThrow(/4294967296 bytes.*at most 4294900736/s);
  });

  test("uses its last byte beyond 2 GiB", () => {
    const memory = KernelMemory.create({ bytes: KernelMemory.bytesMax });
    const low = memory.allocateBytes(memory.bytesFree - 4096);
    const [weights, gradient] = [memory.allocateFloats(512), memory.allocateFloats(512)];
    expect(memory.bytesFree).toBe(0);
    expect(gradient.byteOffset).toBeGreaterThan(2 ** 31);
    gradient.fill(2);
    memory.kernels.sgdInPlace(weights, gradient, 0.5, noDecay);
    expect(weights.every((w) => w === -1)).toBe(true);
    gradient[511] = 7;
    expect(memory.kernels.nextAtLeast(gradient, 3, 5)).toBe(511);
    expect(memory.kernels.nextAtLeast(gradient, 3, 8)).toBe(512);
    expect(low[0]).toBe(0);
  });

  test("never gives out the same byte twice, and joins what is freed: any order of calls", () => {
    const calls = fc.array(fc.tuple(fc.boolean(), fc.nat(300)), { maxLength: 60 });
    fc.assert(
      fc.property(calls, (steps) => {
        const memory = KernelMemory.create({ bytes: 8192 });
        const used: Uint8Array[] = [];
        for (const [allocates, number] of steps) {
          if (allocates && memory.bytesFree >= 4096)
            used.push(memory.allocateBytes(number).fill(used.length));
          else if (used.length > 0) memory.free(used.splice(number % used.length, 1)[0] as Uint8Array);
          const ranges = used.map(({ byteOffset, length }) => [byteOffset, byteOffset + length] as const);
          ranges.sort((a, b) => a[0] - b[0]);
          for (const [i, [begin]] of ranges.entries())
            expect(begin).toBeGreaterThanOrEqual(ranges[i - 1]?.[1] ?? 0);
        }
        for (const view of used) memory.free(view);
        expect(memory.bytesFree).toBe(8192);
        expect(memory.allocateBytes(8192)).toHaveLength(8192);
      }),
      { numRuns: 60 },
    );
  });

  test("another thread attaches to it, and computes on the same bytes", async () => {
    const memory = KernelMemory.create({ bytes: 4096 });
    const [weights, gradient] = [memory.allocateFloats(9), memory.allocateFloats(9)];
    gradient.fill(1);
    const code = `
      const { parentPort, workerData } = require("node:worker_threads");
      import(workerData.entry).then(({ KernelMemory, noDecay }) => {
        const memory = KernelMemory.attach(workerData.handle);
        const [w, g] = workerData.offsets.map((offset) => memory.floatsAt(offset, 9));
        memory.kernels.sgdInPlace(w, g, 0.25, noDecay);
        let refused = "";
        try { memory.allocateFloats(1); } catch (error) { refused = error.code; }
        parentPort.postMessage(refused);
      });`;
    const worker = new Worker(code, {
      eval: true,
      workerData: {
        entry: new URL("../dist/index.js", import.meta.url).href,
        handle: memory.handle,
        offsets: [weights.byteOffset, gradient.byteOffset],
      },
    });
    const refused = await new Promise((resolve, reject) => {
      worker.once("message", resolve).once("error", reject);
    });
    await worker.terminate();
    expect(refused).toBe("internal");
    expect(Array.from(weights)).toEqual(new Array(9).fill(-0.25));
  });

  test("a handle that is none is refused", () => {
    expect(() => KernelMemory.attach({} as never)).toThrow(internal);
  });
});
