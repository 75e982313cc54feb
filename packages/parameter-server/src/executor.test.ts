import { KernelMemory } from "@downpour/tensor-kernels";
import { expect, test } from "vitest";
import type { Command } from "./commands.ts";
import { describeExecutor } from "./executor.test.suite.ts";
import { inlineExecutor } from "./executor.ts";
import { threadExecutor } from "./thread-executor.ts";

describeExecutor("commands in the caller's thread", inlineExecutor());
describeExecutor("commands in apply threads", threadExecutor);

test("a thread that crashes fails what waits, what comes later, and says so once", async () => {
  const memory = KernelMemory.create({ bytes: 4096 });
  const at = memory.allocateFloats(16).byteOffset;
  const setup = {
    memory,
    options: {
      optimizer: { name: "sgd", weightDecay: 0, weightDecayL1: 0 },
      staleness: { policy: "none" },
      statisticsDecay: 0.95,
      slices: [],
      decodedAt: at,
      beforeAt: at,
    },
  } as const;
  const failures: Error[] = [];
  const executor = await threadExecutor([setup], (error) => failures.push(error));
  // There is no slice 7: a broken invariant of the sender.
  const bad: Command = { kind: "keep", slice: 7, at };
  const expected = { code: "internal", message: expect.stringMatching(/^apply thread 0 has crashed: /) };
  await Promise.all(
    [executor.submit(0, [bad]), executor.submit(0, [bad])].map((submitted) =>
      expect(submitted).rejects.toMatchObject(expected),
    ),
  );
  await expect(executor.submit(0, [bad])).rejects.toMatchObject(expected);
  expect(failures).toEqual([expect.objectContaining(expected)]);
  await executor.close();
});
