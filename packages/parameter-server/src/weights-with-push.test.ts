import { makeManifest } from "@downpour/parameter-vector";
import type { PushRequestInput, PushResponse } from "@downpour/protocol";
import { expect, test } from "vitest";
import type { ServerBounds } from "./bounds.ts";
import { inlineExecutor } from "./executor.ts";
import { ParameterStore } from "./parameter-store.ts";
import { memberId, prepare, serveStore } from "./served-store.test.suite.ts";
import { jobWith } from "./test-store.test.suite.ts";

const manifest = makeManifest([{ name: "a", shape: [48], role: "weight", trainable: true, decayed: true }]);
const slices = [0, 1, 2].map((sliceIndex) => ({ sliceIndex, offset: 16 * sliceIndex, length: 16 }));
const bytesOf = (value: number) => new Uint8Array(new Float32Array(16).fill(value).buffer);
const firstOf = (data: Uint8Array) => new Float32Array(new Uint8Array(data).buffer)[0];

/** A server of three slices of weights 2, with plain SGD at rate 0.5. @returns pushes, and all that they are answered */
async function startServer(bounds: Partial<ServerBounds> = {}) {
  const store = new ParameterStore({ job: jobWith(), makeExecutor: inlineExecutor(), bounds });
  const served = await serveStore(store);
  await prepare(served, manifest, slices, new Float32Array(48).fill(2));
  return async (batch: number, change: Partial<PushRequestInput>): Promise<PushResponse[]> => {
    const responses: PushResponse[] = [];
    const request: Omit<PushRequestInput, "sequence"> = {
      ...{ memberId, manifestFingerprint: manifest.fingerprint, pushId: { epoch: 0, batch } },
      schedule: { revision: 1, dropFactor: 1, rateFactor: 1, momentum: 0 },
      slices: slices.map(({ sliceIndex }) => ({
        ...{ sliceIndex, base: { term: 1, count: 0 }, codec: "CODEC_FLOAT32" as const, data: bytesOf(1) },
      })),
      ...change,
    };
    await served.pushes.request(request, (response) => {
      responses.push(response);
      return !response.more;
    });
    return responses;
  };
}

const wanted = (have: number | undefined = undefined) => ({
  slices: slices.map(({ sliceIndex }) => ({
    sliceIndex,
    have: have === undefined ? null : { term: 1, count: have },
  })),
  codec: "CODEC_FLOAT32" as const,
});

test("a push that asks for weights is answered with those after it", async () => {
  const push = await startServer();
  const responses = await push(0, { weightsWanted: wanted() });
  expect(responses).toHaveLength(1);
  const [{ slices: acknowledged, weights }] = responses as [PushResponse];
  expect(acknowledged).toMatchObject(
    slices.map(({ sliceIndex }) => ({ sliceIndex, version: { term: 1, count: 1 }, duplicate: false })),
  );
  // 2 - 0.5 * 1
  expect(weights.map(({ version, data }) => [version?.count, firstOf(data)])).toEqual(
    Array(3).fill([1, 1.5]),
  );
  const [again] = await push(0, { weightsWanted: wanted(1) });
  expect(again?.slices.every(({ duplicate }) => duplicate)).toBe(true);
  expect(again?.weights.map(({ unchanged, data }) => [unchanged, data.length])).toEqual(
    Array(3).fill([true, 0]),
  );
});

test("weights that don't fit one message follow in others, and pushes behind keep their order", async () => {
  const push = await startServer({ answerBytesMax: 64 });
  const [first, second] = await Promise.all([push(0, { weightsWanted: wanted() }), push(1, {})]);
  expect(first?.map(({ slices, weights, more }) => [slices.length, weights.length, more])).toEqual([
    [3, 1, true],
    [0, 1, true],
    [0, 1, false],
  ]);
  expect(second).toMatchObject([{ weights: [], more: false }]);
});

test("a refused push brings no weights, and one whose weights can't be read is acknowledged all the same", async () => {
  const push = await startServer();
  const [refused] = await push(9, { weightsWanted: wanted() });
  expect(refused).toMatchObject({ status: { code: 3 }, slices: [], weights: [], more: false });
  const unknown = { ...wanted(), slices: [{ sliceIndex: 7, have: null }] };
  const [taken] = await push(0, { weightsWanted: unknown });
  expect(taken).toMatchObject({ status: { code: 0 }, weights: [], more: false });
  expect(taken?.slices).toHaveLength(3);
  expect(await push(1, {})).toMatchObject([{ status: { code: 0 } }]);
});
