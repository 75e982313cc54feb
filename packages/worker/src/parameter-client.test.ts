import {
  answering,
  okStatus,
  type PullRequest,
  type PullResponseInput,
  type Serving,
  serve,
  services,
} from "@downpour/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { ParameterClient } from "./parameter-client.ts";
import { WeightReplica } from "./weight-replica.ts";

const closing: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

/** A server that answers pulls with one value everywhere, under a term. */
async function startServer(value: number, term: number) {
  const state = { value, term, pulls: [] as number[][] };
  const handlers = {
    Pull: answering<PullRequest, PullResponseInput>(async ({ sequence, slices }) => {
      state.pulls.push(slices.map(({ sliceIndex }) => sliceIndex));
      const weights = slices.map(({ sliceIndex }) => ({
        sliceIndex,
        version: { term: state.term, count: 1 },
        codec: "CODEC_FLOAT32" as const,
        data: Buffer.from(new Float32Array(16).fill(state.value).buffer),
      }));
      return { sequence, status: okStatus, slices: weights, last: true };
    }),
  };
  const serving: Serving = await serve(services.ParameterServer.service, handlers as never, "127.0.0.1", 0);
  closing.push(() => serving.close(0));
  return { ...state, state, address: serving.address, stop: () => serving.close(0) };
}

const sliceOn = (sliceIndex: number, serverIndex: number, term = 1) => ({
  ...{ sliceIndex, offset: sliceIndex * 16, length: 16, serverIndex, term },
});

function clientOf(serverAddresses: string[], slices: ReturnType<typeof sliceOn>[]) {
  const [weights, pulled] = [new Float32Array(32), new Float32Array(32)];
  const replica = new WeightReplica({ slices, weights, pulled });
  const client = new ParameterClient({
    ...{ memberId: "worker-1", manifestFingerprint: "abc", layout: { serverAddresses, slices } },
    replica,
    pullCodec: {
      codec: "CODEC_FLOAT32",
      decodeInto: (_index, _codec, data, into) => into.set(new Float32Array(Uint8Array.from(data).buffer)),
    },
    requestTimeoutMs: 10_000,
  });
  closing.push(() => client.close());
  return { client, replica, pulled };
}

describe("ParameterClient", () => {
  it("pulls from where the slices are now", async () => {
    const [a, b] = [await startServer(1, 1), await startServer(2, 1)];
    const { client, pulled } = clientOf([a.address, b.address], [sliceOn(0, 0), sliceOn(1, 1)]);
    await client.pull(false);
    expect([pulled[0], pulled[16]]).toEqual([1, 2]);

    b.state.term = 2;
    client.reroute({ serverAddresses: ["", b.address], slices: [sliceOn(0, 1, 2), sliceOn(1, 1, 2)] });
    await client.pull(false);
    expect([pulled[0], pulled[16]]).toEqual([2, 2]);
    expect(b.state.pulls).toEqual([[1], [0, 1]]);
    expect(a.state.pulls).toEqual([[0]]);
  });

  it("says that a server is missing that has slices, and goes on when it is back", async () => {
    const a = await startServer(1, 1);
    const slices = [sliceOn(0, 0), sliceOn(1, 1)];
    const { client, pulled } = clientOf([a.address, ""], slices);
    await expect(client.pull(false)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("server 1"),
    });
    const b = await startServer(3, 1);
    client.reroute({ serverAddresses: [a.address, b.address], slices });
    await client.pull(false);
    expect(pulled[16]).toBe(3);
  });

  it("takes nothing of another term than the layout's, and has the layout asked for", async () => {
    const a = await startServer(1, 2);
    const { client, replica, pulled } = clientOf([a.address], [sliceOn(0, 0, 1), sliceOn(1, 0, 2)]);
    await expect(client.pull(false)).rejects.toMatchObject({ code: "sliceMoved" });
    expect(pulled[0]).toBe(0);
    expect(replica.pulledVersion(0)).toBeUndefined();
  });

  it("fails what is under way to a server that is not in the layout any more", async () => {
    const a = await startServer(1, 1);
    const silent = await serve(
      services.ParameterServer.service,
      { Pull: () => undefined } as never,
      "127.0.0.1",
      0,
    );
    closing.push(() => silent.close(0));
    const { client, pulled } = clientOf([silent.address], [sliceOn(0, 0), sliceOn(1, 0)]);
    const pull = expect(client.pull(false)).rejects.toMatchObject({ code: "unavailable" });
    await new Promise((resolve) => setTimeout(resolve, 50));
    client.reroute({ serverAddresses: [a.address], slices: [sliceOn(0, 0), sliceOn(1, 0)] });
    await pull;
    await client.pull(false);
    expect(pulled[0]).toBe(1);
  });
});
