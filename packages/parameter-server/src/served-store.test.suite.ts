import type { Logger } from "@downpour/logging";
import { type Manifest, manifestToWire, type SliceRange } from "@downpour/parameter-vector";
import {
  connectParameterServer,
  type Identity,
  type ParameterServerCaller,
  type PullRequestInput,
  type PullResponse,
  type PushRequestInput,
  type PushResponse,
  SequencedStream,
  serve,
  services,
} from "@downpour/protocol";
import { afterEach } from "vitest";
import type { ParameterStore } from "./parameter-store.ts";
import { parameterServerHandlers } from "./service.ts";
import { bytesOf } from "./test-store.test.suite.ts";

const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

const silent = { info: () => undefined, warn: () => undefined } as unknown as Logger;
const timeoutMs = 30_000;

export const memberId = "worker-1";

/** A store behind a real server over loopback, and a client with one push and one pull stream. */
export interface ServedStore {
  readonly address: string;
  readonly caller: ParameterServerCaller;
  readonly client: InstanceType<typeof services.ParameterServer>;
  readonly pushes: SequencedStream<PushRequestInput, PushResponse>;
  /** The answer to one push that has no more than one. */
  push(request: Omit<PushRequestInput, "sequence">): Promise<PushResponse>;
  /** All answers to one pull. */
  pull(request: Omit<PullRequestInput, "sequence">): Promise<PullResponse[]>;
  /** How many push streams were opened. */
  pushStreams(): number;
  /** Ends server and store, once; else the end of the test does. */
  close(): Promise<void>;
}

export interface ServedStoreOptions {
  readonly logger?: Logger;
  /** Mutual TLS and join token of the server, and of its client; plain text when left out. */
  readonly server?: Identity;
  readonly client?: Identity;
}

/** Serves a store until the test is over. */
export async function serveStore(
  store: ParameterStore,
  options: ServedStoreOptions = {},
): Promise<ServedStore> {
  const handlers = parameterServerHandlers(store, options.logger ?? silent);
  const serving = await serve(services.ParameterServer.service, handlers, "127.0.0.1", 0, {
    tls: options.server?.tls,
    access: { token: options.server?.token },
  });
  const caller = connectParameterServer(serving.address, timeoutMs, options.client);
  const client = caller.client as InstanceType<typeof services.ParameterServer>;
  let pushStreams = 0;
  const openPush = () => {
    pushStreams++;
    return client.push();
  };
  const pushes = new SequencedStream<PushRequestInput, PushResponse>(openPush, "Push", timeoutMs);
  const pulls = new SequencedStream<PullRequestInput, PullResponse>(() => client.pull(), "Pull", timeoutMs);
  let closed = false;
  const close = async () => {
    if (closed) return;
    closed = true;
    pushes.close();
    pulls.close();
    caller.close();
    await serving.close(0);
    await store.close();
  };
  closing.push(close);
  return {
    address: serving.address,
    close,
    caller,
    client,
    pushes,
    pushStreams: () => pushStreams,
    async push(request) {
      const responses: PushResponse[] = [];
      await pushes.request(request, (response) => responses.push(response) > 0);
      return responses[0] as PushResponse;
    },
    async pull(request) {
      const responses: PullResponse[] = [];
      await pulls.request(request, (response) => {
        responses.push(response);
        return response.last;
      });
      return responses;
    },
  };
}

/** Assigns slices, admits the member, and initializes with `weights`, a whole parameter vector. */
export async function prepare(
  { caller }: Pick<ServedStore, "caller">,
  manifest: Manifest,
  slices: readonly SliceRange[],
  weights: Float32Array,
  batchesPerEpoch = 8,
): Promise<void> {
  await caller.call("Assign", {
    coordinatorEpoch: 1,
    manifest: manifestToWire(manifest),
    slices: slices.map((slice) => ({ ...slice, term: 1 })),
    batchesPerEpoch,
  });
  await caller.call("SetMembers", { coordinatorEpoch: 1, revision: 1, memberIds: [memberId] });
  await caller.call("Initialize", {
    memberId,
    manifestFingerprint: manifest.fingerprint,
    slices: slices.map(({ sliceIndex, offset, length }) => ({
      sliceIndex,
      codec: "CODEC_FLOAT32" as const,
      data: bytesOf(weights.subarray(offset, offset + length)),
    })),
  });
}
