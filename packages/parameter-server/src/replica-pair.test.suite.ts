import { DownpourError } from "@downpour/errors";
import type { Job } from "@downpour/job";
import { makeManifest } from "@downpour/parameter-vector";
import type { ReplicateRequest } from "@downpour/protocol";
import { stateOffsets } from "./apply-engine.ts";
import type { After } from "./gate-keeper.ts";
import type { AssignedSlice, Assignment } from "./layout.ts";
import type { ParameterStore } from "./parameter-store.ts";
import type { ConnectReplica, ReplicaMessage } from "./replica-messages.ts";
import { messageFromWire, messageToWire } from "./replica-wire.ts";
import type { Slice } from "./slice.ts";
import type { StoreOptions } from "./store-options.ts";
import { TestStore } from "./test-store.test.suite.ts";

/* Stores that are each other's replicas, over connections that a test can hold up and cut. */

export const manifest = makeManifest([
  { name: "kernel", shape: [40], role: "weight", trainable: true, decayed: true },
  { name: "bias", shape: [5], role: "bias", trainable: true, decayed: false },
  { name: "mean", shape: [16], role: "movingStatistic", trainable: false, decayed: false },
]);
export const ranges = [
  { sliceIndex: 0, offset: 0, length: 32 },
  { sliceIndex: 1, offset: 32, length: 32 },
  { sliceIndex: 2, offset: 64, length: 16 },
];
export const batchesPerEpoch = 50;

/** An assignment of all slices, each as `change` says. */
export function layout(
  layoutRevision: number,
  change: Partial<AssignedSlice>,
  more: Partial<Assignment> = {},
): Assignment {
  return {
    coordinatorEpoch: 1,
    manifest,
    batchesPerEpoch,
    layoutRevision,
    slices: ranges.map((range) => ({ ...range, term: 1, ...change })),
    ...more,
  };
}

/** What has happened, once everything that can go on has gone on. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
}

const soon: After = (_ms, callBack) => {
  const timer = setImmediate(callBack);
  return () => clearImmediate(timer);
};

/** Waits of requests have no end; pauses of links are short. */
export const shortPauses: After = (ms, callBack) => (ms > 2000 ? () => undefined : soon(ms, callBack));

/** Servers by address, and what connections to them do. */
export class TestNetwork {
  readonly stores = new Map<string, ParameterStore>();
  /** Every message sent so far. */
  readonly sent: ReplicaMessage[] = [];
  /** Connections fail. */
  isCut = false;
  #hold: { readonly open: Promise<void>; readonly release: () => void } | undefined;

  readonly connect: ConnectReplica = (address) => {
    let turn: Promise<unknown> = Promise.resolve();
    return {
      send: async (message) => {
        this.sent.push(message);
        // As over the wire: encoded at once, taken in order.
        const request = structuredClone(messageToWire(manifest.fingerprint, message));
        const taken = turn.then(async () => {
          await this.#hold?.open;
          const store = this.stores.get(address);
          if (this.isCut || store === undefined) throw new DownpourError("unavailable", "cut off");
          return store.replicate(manifest.fingerprint, messageFromWire(request as ReplicateRequest));
        });
        turn = taken.catch(() => undefined);
        const refusals = await (await taken).done;
        if (this.isCut) throw new DownpourError("unavailable", "cut off");
        return refusals;
      },
      close: () => undefined,
    };
  };

  /** From now on messages wait. */
  hold(): void {
    let release: () => void = () => undefined;
    const open = new Promise<void>((resolve) => {
      release = resolve;
    });
    this.#hold = { open, release };
  }

  release(): void {
    this.#hold?.release();
    this.#hold = undefined;
  }
}

export interface Pair {
  readonly network: TestNetwork;
  readonly primary: TestStore;
  readonly replica: TestStore;
}

/** A primary of all slices at "a", with their replicas at "b", in step. */
export async function startPair(
  job: Job,
  options: Partial<StoreOptions> = {},
  replicaOptions = options,
): Promise<Pair> {
  const network = new TestNetwork();
  const common = { connectReplica: network.connect, after: shortPauses };
  const primary = new TestStore(job, layout(1, { replicaAddress: "b" }), { ...common, ...options });
  const replica = new TestStore(job, layout(1, { duty: "replica" }), { ...common, ...replicaOptions });
  network.stores.set("a", primary.store);
  network.stores.set("b", replica.store);
  await replica.store.assign(replica.assignment);
  await primary.store.assign(primary.assignment);
  for (const store of [primary, replica]) store.setMembers(1, 1, ["worker-1", "worker-2", "worker-3"]);
  const begin = (slice: number, i: number) => (slice === 2 ? 0 : Math.sin(slice * 32 + i));
  await primary.initialize("worker-1", primary.filled(begin));
  await settled();
  return { network, primary, replica };
}

/** All that a slice is, to the bit: arrays, bookkeeping, versions that members pulled. */
export function stateOf(slice: Slice): unknown {
  const { lane, place, range } = slice;
  const bits = (at: number) =>
    Array.from(new Uint32Array(lane.memory.bytesAt(at, range.length * 4).slice().buffer));
  const { pushIds, ...facts } = slice.facts();
  const { accumulatorAt } = place;
  const waits = facts.waiting.pushIds.length > 0;
  return {
    ...facts,
    newestEpoch: pushIds.newestEpoch,
    pushIds: [...pushIds.epochs].map(([epoch, bitmap]) => [epoch, bitmap.toArray()]),
    // What an accumulator holds while nothing waits means nothing.
    arrays: stateOffsets(place)
      .filter((at) => waits || at !== accumulatorAt)
      .map(bits),
    copies: [...slice.copies].map(([count, copy]) => [count, bits(copy.byteOffset)]).sort(),
    pulled: [...(slice.pulled?.memberIds ?? [])].sort(),
  };
}

/** The states of a primary's slices and of their replicas. */
export function statesOf({ primary, replica }: Pair): readonly [unknown[], unknown[]] {
  return [[...primary.store.slices].map(stateOf), replica.store.replicas.map(stateOf)];
}
