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
  type services,
  type TlsMaterial,
  throwUnlessOk,
} from "@downpour/protocol";
import type { PushId } from "./compute.ts";
import type { Layout, PlacedSlice } from "./layout.ts";
import { type OutgoingPush, PushDelivery } from "./push-delivery.ts";
import type { WeightReplica } from "./weight-replica.ts";

export interface ParameterClientOptions {
  readonly memberId: string;
  readonly manifestFingerprint: string;
  readonly layout: Pick<Layout, "serverAddresses" | "slices">;
  /** What pulls write. */
  readonly replica: WeightReplica;
  /** How weights travel, and how they are read. */
  readonly pullCodec: PullPayloads;
  readonly requestTimeoutMs: number;
  /** Told the payload bytes of each slice that is received. */
  readonly onReceived?: (bytes: number) => void;
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
}

/** A server with the slices that it is the primary of, in the order that the next forward pass needs them. */
interface Route extends ServerConnection {
  readonly serverIndex: number;
  readonly slices: readonly PlacedSlice[];
}

/**
 * A member's connection to all parameter servers: initialize, push, pull, each over streams that stay open. What is
 * pushed and where pulls go is the business of {@link PushDelivery} and {@link WeightReplica}.
 */
export class ParameterClient {
  readonly #options: ParameterClientOptions;
  readonly #connections = new Map<string, ServerConnection>();
  #layout: Pick<Layout, "serverAddresses" | "slices">;

  constructor(options: ParameterClientOptions) {
    this.#options = options;
    this.#layout = options.layout;
    this.reroute(options.layout);
  }

  /**
   * Keeps to another layout. What is under way to a server that is not in it any more fails as unavailable; so does
   * everything that concerns slices of a server that is missing.
   */
  reroute(layout: Pick<Layout, "serverAddresses" | "slices">): void {
    this.#layout = layout;
    this.#options.replica.serversChanged();
    for (const [address, connection] of this.#connections) {
      if (layout.serverAddresses.includes(address)) continue;
      this.#connections.delete(address);
      closeConnection(connection);
    }
  }

  /** Sends initial weights; slices that have weights keep them. */
  async initialize(weights: Float32Array): Promise<void> {
    const { memberId, manifestFingerprint } = this.#options;
    const calls = this.#routes().flatMap(({ caller, slices }) =>
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
   * @throws sliceMoved: a server has another term of a slice than the layout; ask for the layout and pull again
   */
  async pull(gated: boolean): Promise<void> {
    await this.#pullFrom(this.#routes(), gated);
    // With backup workers a server may have opened its next round while another still waits for a gradient of the one
    // before. Weights of two rounds would make a late gradient; to ask again in the same round is to wait for the next.
    const { replica } = this.#options;
    while (gated && replica.serversBehind.length > 0) {
      const behind = this.#routes().filter(({ serverIndex }) => replica.serversBehind.includes(serverIndex));
      await this.#pullFrom(behind, gated);
    }
  }

  async #pullFrom(routes: readonly Route[], gated: boolean): Promise<void> {
    const { memberId, manifestFingerprint, replica, pullCodec } = this.#options;
    const requests = routes.map((route) => {
      const wanted = route.slices.map(({ sliceIndex }) => ({
        sliceIndex,
        have: replica.pulledVersion(sliceIndex) ?? null,
      }));
      const { codec } = pullCodec;
      return route.pulls.request(
        { memberId, manifestFingerprint, slices: wanted, codec, gated },
        (response) => {
          throwUnlessOk(response.status, `Pull from server ${route.caller.address}`);
          this.#receive(response, route.serverIndex);
          return response.last;
        },
      );
    });
    throwFirst(await Promise.allSettled(requests));
  }

  /**
   * Ends the streams of pulls: pulls under way fail as unavailable, and gates do not count this member any more. The
   * next pull opens new ones.
   */
  leaveGates(): void {
    for (const { pulls } of this.#connections.values()) pulls.close();
  }

  /**
   * Gets a push ready to be sent, as often as it takes. Its payloads must stay as they are until every slice has
   * acknowledged.
   */
  delivery(push: OutgoingPush): PushDelivery {
    const { memberId, manifestFingerprint } = this.#options;
    const routes = () =>
      this.#routes().map(({ serverIndex, caller, pushes, slices }) => ({
        serverIndex,
        address: caller.address,
        stream: pushes,
        slices: slices.map(({ sliceIndex }) => sliceIndex),
      }));
    return new PushDelivery({ memberId, manifestFingerprint, routes, push });
  }

  /** Asks the server of slice 0 whether a push id has a place in its round of synchronous training. */
  async admit(pushId: PushId, rounds: readonly number[]): Promise<boolean> {
    const { memberId, manifestFingerprint } = this.#options;
    const route = this.#routes().find(({ slices }) => slices.some(({ sliceIndex }) => sliceIndex === 0));
    if (route === undefined) throw new DownpourError("internal", "the placement has no slice 0");
    const ask = { memberId, manifestFingerprint, pushId, round: rounds[route.serverIndex] ?? 0 };
    const answer = await route.caller.call("AdmitPush", ask);
    return answer.admitted;
  }

  close(): void {
    for (const connection of this.#connections.values()) closeConnection(connection);
  }

  /** The servers that have slices. @throws unavailable: one of them is missing */
  #routes(): Route[] {
    const { serverAddresses, slices } = this.#layout;
    return serverAddresses.flatMap((address, serverIndex) => {
      const own = slices.filter((slice) => slice.serverIndex === serverIndex);
      if (own.length === 0) return [];
      if (address === "") {
        throw new DownpourError(
          "unavailable",
          `server ${serverIndex}, which has ${own.length} slices, is missing; it is waited for`,
        );
      }
      return [{ ...this.#connectionTo(address), serverIndex, slices: own }];
    });
  }

  #connectionTo(address: string): ServerConnection {
    const known = this.#connections.get(address);
    if (known !== undefined) return known;
    const { requestTimeoutMs, tls, token } = this.#options;
    const caller = connectParameterServer(address, requestTimeoutMs, {
      ...(tls && { tls }),
      ...(token && { token }),
    });
    const client = caller.client as InstanceType<typeof services.ParameterServer>;
    const connection = {
      caller,
      pushes: new SequencedStream(() => client.push(), `Push to server ${address}`, requestTimeoutMs),
      pulls: new SequencedStream(() => client.pull(), `Pull from server ${address}`, requestTimeoutMs),
    };
    this.#connections.set(address, connection);
    return connection;
  }

  #receive(response: PullResponse, serverIndex: number): void {
    const { replica, pullCodec } = this.#options;
    for (const { sliceIndex, version, codec, data, unchanged } of response.slices) {
      if (version === null) {
        throw new DownpourError("internal", `a server sent slice ${sliceIndex} without a version`);
      }
      const placed = this.#layout.slices[sliceIndex];
      if (placed !== undefined && placed.term !== version.term) {
        throw new DownpourError(
          "sliceMoved",
          `slice ${sliceIndex} was pulled with term ${version.term}, expected ${placed.term} as in the layout`,
        );
      }
      if (!unchanged) pullCodec.decodeInto(sliceIndex, codec, data, replica.pulledSlice(sliceIndex));
      this.#options.onReceived?.(data.byteLength);
      replica.received(sliceIndex, version, unchanged);
    }
    if (response.last) replica.roundReceived(serverIndex, response.round);
  }
}

function closeConnection({ caller, pushes, pulls }: ServerConnection): void {
  pushes.close();
  pulls.close();
  caller.close();
}

/** @throws the first of the reasons that something failed for */
export function throwFirst(results: readonly PromiseSettledResult<unknown>[]): void {
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
