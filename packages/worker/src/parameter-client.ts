import { DownpourError } from "@downpour/errors";
import {
  connectParameterServer,
  type JoinToken,
  type ParameterServerCaller,
  type PullRequestInput,
  type PullResponse,
  type PushRequestInput,
  type PushResponse,
  SequencedStream,
  type SliceWeights,
  type services,
  type TlsMaterial,
  throwUnlessOk,
  type WeightsWantedInput,
} from "@downpour/protocol";
import type { PushId } from "./compute.ts";
import { type OutgoingPush, PushDelivery, type WeightsWithPush } from "./push-delivery.ts";
import type { Slice, WeightReplica } from "./weight-replica.ts";

/** Where a slice lives. */
export interface PlacedSlice extends Slice {
  readonly serverIndex: number;
}

export interface ParameterClientOptions {
  readonly memberId: string;
  readonly manifestFingerprint: string;
  readonly serverAddresses: readonly string[];
  readonly slices: readonly PlacedSlice[];
  /** What pulls write. */
  readonly replica: WeightReplica;
  /** How weights travel, and how they are read. */
  readonly pullCodec: PullPayloads;
  readonly requestTimeoutMs: number;
  /** Mutual TLS; plain text when left out. */
  readonly tls?: TlsMaterial | undefined;
  /** The cluster's join token; needs `tls`. */
  readonly token?: JoinToken | undefined;
}

/** How pulled weights travel. */
export interface PullPayloads {
  /** What pulls ask for. */
  readonly codec: NonNullable<PullRequestInput["codec"]>;
  /**
   * Writes a payload over the weights of its slice.
   * @throws internal: a codec or a length that was not asked for
   */
  decodeInto(sliceIndex: number, codec: unknown, data: Uint8Array, weights: Float32Array): void;
}

interface ServerConnection {
  readonly caller: ParameterServerCaller;
  readonly pushes: SequencedStream<PushRequestInput, PushResponse>;
  readonly pulls: SequencedStream<PullRequestInput, PullResponse>;
  /** Its slices, in the order that the next forward pass needs them. */
  readonly slices: readonly PlacedSlice[];
}

/**
 * A member's connection to all parameter servers: initialize, push, pull, each over streams that stay open. What is
 * pushed and where pulls go is the business of {@link PushDelivery} and {@link WeightReplica}.
 */
export class ParameterClient {
  readonly #options: ParameterClientOptions;
  readonly #servers: readonly ServerConnection[];

  constructor(options: ParameterClientOptions) {
    this.#options = options;
    this.#servers = options.serverAddresses.map((address, serverIndex) => {
      const { requestTimeoutMs, tls, token } = options;
      const caller = connectParameterServer(address, requestTimeoutMs, {
        ...(tls && { tls }),
        ...(token && { token }),
      });
      const client = caller.client as InstanceType<typeof services.ParameterServer>;
      return {
        caller,
        pushes: new SequencedStream(() => client.push(), `Push to server ${address}`, requestTimeoutMs),
        pulls: new SequencedStream(() => client.pull(), `Pull from server ${address}`, requestTimeoutMs),
        slices: options.slices.filter((slice) => slice.serverIndex === serverIndex),
      };
    });
  }

  /** Sends initial weights; slices that have weights keep them. */
  async initialize(weights: Float32Array): Promise<void> {
    const { memberId, manifestFingerprint } = this.#options;
    const calls = this.#servers.flatMap(({ caller, slices }) =>
      slices.map(({ sliceIndex, offset, length }) => {
        const data = Buffer.from(weights.buffer, weights.byteOffset + offset * 4, length * 4);
        const slice = { sliceIndex, codec: "CODEC_FLOAT32" as const, data };
        return caller.call("Initialize", { memberId, manifestFingerprint, slices: [slice] });
      }),
    );
    await Promise.all(calls);
  }

  /**
   * Brings the replica's pulled vector to the servers' latest versions; slices that have not changed are not sent.
   * Pulling again after a failure is harmless.
   * @param gated waits until the gates of SSP or sync let this member take another step
   */
  async pull(gated: boolean): Promise<void> {
    await this.#pullFrom(
      this.#servers.map((_, serverIndex) => serverIndex),
      gated,
    );
    // With backup workers a server may have opened its next round while another still waits for a gradient of the one
    // before. Weights of two rounds would make a late gradient; to ask again in the same round is to wait for the next.
    const { replica } = this.#options;
    while (gated && replica.serversBehind.length > 0) await this.#pullFrom(replica.serversBehind, gated);
  }

  async #pullFrom(servers: readonly number[], gated: boolean): Promise<void> {
    const { memberId, manifestFingerprint, replica } = this.#options;
    const requests = this.#servers.map(({ caller, pulls, slices }, serverIndex) => {
      if (slices.length === 0 || !servers.includes(serverIndex)) return undefined;
      const request = { memberId, manifestFingerprint, gated, ...this.#wanted(slices) };
      return pulls.request(request, (response) => {
        throwUnlessOk(response.status, `Pull from server ${caller.address}`);
        this.#receive(response.slices);
        if (response.last) replica.roundReceived(serverIndex, response.round);
        return response.last;
      });
    });
    throwFirst(await Promise.allSettled(requests));
  }

  /**
   * Ends the streams of pulls: pulls under way fail as unavailable, and gates do not count this member any more. The
   * next pull opens new ones.
   */
  leaveGates(): void {
    for (const { pulls } of this.#servers) pulls.close();
  }

  /**
   * Gets a push ready to be sent, as often as it takes. Its payloads must stay as they are until every slice has
   * acknowledged.
   * @param withWeights its answers bring the weights after it into the replica's pulled vector, as {@link pull} does
   */
  delivery(push: Omit<OutgoingPush, "weights">, withWeights = false): PushDelivery {
    const { memberId, manifestFingerprint } = this.#options;
    const routes = this.#servers.map(({ caller, pushes, slices }, serverIndex) => ({
      serverIndex,
      address: caller.address,
      stream: pushes,
      slices: slices.map(({ sliceIndex }) => sliceIndex),
    }));
    const weights: WeightsWithPush = {
      wanted: (serverIndex) => this.#wanted(this.#servers[serverIndex]?.slices ?? []),
      receive: (brought) => this.#receive(brought),
    };
    const outgoing = withWeights ? { ...push, weights } : push;
    return new PushDelivery({ memberId, manifestFingerprint, routes, push: outgoing });
  }

  /** Asks the server of slice 0 whether a push id has a place in its round of synchronous training. */
  async admit(pushId: PushId, rounds: readonly number[]): Promise<boolean> {
    const { memberId, manifestFingerprint, slices } = this.#options;
    const serverIndex = slices[0]?.serverIndex ?? 0;
    const server = this.#servers[serverIndex];
    if (server === undefined) throw new DownpourError("internal", "the placement has no slice 0");
    const ask = { memberId, manifestFingerprint, pushId, round: rounds[serverIndex] ?? 0 };
    const answer = await server.caller.call("AdmitPush", ask);
    return answer.admitted;
  }

  close(): void {
    for (const { caller, pushes, pulls } of this.#servers) {
      pushes.close();
      pulls.close();
      caller.close();
    }
  }

  /** Slices of a server, and what the replica has of them. */
  #wanted(slices: readonly PlacedSlice[]): WeightsWantedInput {
    const { replica, pullCodec } = this.#options;
    return {
      slices: slices.map(({ sliceIndex }) => ({
        sliceIndex,
        have: replica.pulledVersion(sliceIndex) ?? null,
      })),
      codec: pullCodec.codec,
    };
  }

  #receive(weights: readonly SliceWeights[]): void {
    const { replica, pullCodec } = this.#options;
    for (const { sliceIndex, version, codec, data, unchanged } of weights) {
      if (version === null) {
        throw new DownpourError("internal", `a server sent slice ${sliceIndex} without a version`);
      }
      if (!unchanged) pullCodec.decodeInto(sliceIndex, codec, data, replica.pulledSlice(sliceIndex));
      replica.received(sliceIndex, version, unchanged);
    }
  }
}

/** @throws the first of the reasons that something failed for */
export function throwFirst(results: readonly PromiseSettledResult<unknown>[]): void {
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
