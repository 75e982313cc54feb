import { MessageChannel } from "node:worker_threads";
import { DownpourError } from "@downpour/errors";
import { afterEach, describe, expect, it } from "vitest";
import { callPort, servePort } from "./port-calls.ts";

interface Sums {
  add(pair: { a: number; b: number }): Promise<number>;
  fail(): Promise<never>;
}

const channels: MessageChannel[] = [];

function connect(target: Sums): Sums {
  const channel = new MessageChannel();
  channels.push(channel);
  servePort(channel.port1, target);
  return callPort<Sums>(channel.port2, ["add", "fail"]);
}

afterEach(() => {
  for (const { port1 } of channels.splice(0)) port1.close();
});

describe("calls over a port", () => {
  const sums: Sums = {
    add: async ({ a, b }) => a + b,
    fail: async () => {
      throw new DownpourError("corruptData", "the file is torn");
    },
  };

  it("give each caller its own result, several at a time", async () => {
    const remote = connect(sums);
    const results = await Promise.all([1, 2, 3].map((a) => remote.add({ a, b: 10 })));
    expect(results).toEqual([11, 12, 13]);
  });

  it("reject with the code and message of what was thrown on the other side", async () => {
    const remote = connect(sums);
    await expect(remote.fail()).rejects.toMatchObject({ code: "corruptData", message: "the file is torn" });
  });

  it("reject with internal for what is no DownpourError", async () => {
    const remote = connect({ ...sums, add: () => Promise.reject(new TypeError("oops")) });
    await expect(remote.add({ a: 1, b: 2 })).rejects.toMatchObject({ code: "internal", message: "oops" });
  });
});
