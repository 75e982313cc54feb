import { DownpourError } from "@downpour/errors";
import {
  connectParameterServer,
  copyBytes,
  limits,
  type ParameterServerCaller,
  type PullRequestInput,
  type PullResponse,
  type PushRequestInput,
  type PushResponse,
  type ScheduleRevision,
  SequencedStream,
  type services,
  throwUnlessOk,
  type Version,
} from "@downpour/protocol";

/** Where a slice lives. */
export interface PlacedSlice {
  readonly sliceIndex: number;
  /** First element in the parameter vector, and how many. */
  readonly offset: number;
  readonly length: number;
  readonly serverIndex: number;
}

export interface ParameterClientOptions {
  readonly memberId: string;
  readonly manifestFingerprint: string;
  readonly serverAddresses: readonly string[];
  readonly slices: readonly PlacedSlice[];
  /** Parameter vector that pulls write, over shared memory. */
  readonly weights: Float32Array;
  /** Parameter vector that pushes read, over shared memory. */
  readonly gradient: Float32Array;
  readonly requestTimeoutMs: number;
}

/** What the servers said about one push. */
export interface Pushed {
  /** Over the slices that applied the gradient, in updates; 0 when all were duplicates. */
  readonly stalenessMean: number;
  readonly stalenessMax: number;
}

type PushStream = SequencedStream<PushRequestInput, PushResponse>;
type PullStream = SequencedStream<PullRequestInput, PullResponse>;

interface ServerConnection {
  readonly caller: ParameterServerCaller;
  readonly pushes: PushStream;
  readonly pulls: PullStream;
  /** Its slices, in runs that fit one message. */
  readonly messages: readonly (readonly PlacedSlice[])[];
}

/**
 * A member's connection to all parameter servers: initialize, push, pull. Keeps the version of every slice that
 * it pulled, and names it with the gradients computed on it.
 */
export class ParameterClient {
  readonly #options: ParameterClientOptions;
  readonly #servers: readonly ServerConnection[];
  readonly #versions = new Map<number, Version>();

  constructor(options: ParameterClientOptions) {
    this.#options = options;
    this.#servers = options.serverAddresses.map((address, serverIndex) => {
      const caller = connectParameterServer(address, options.requestTimeoutMs);
      const client = caller.client as InstanceType<typeof services.ParameterServer>;
      const slices = options.slices.filter((slice) => slice.serverIndex === serverIndex);
      return {
        caller,
        pushes: new SequencedStream(
          () => client.push(),
          `Push to server ${address}`,
          options.requestTimeoutMs,
        ),
        pulls: new SequencedStream(
          () => client.pull(),
          `Pull from server ${address}`,
          options.requestTimeoutMs,
        ),
        messages: groupByBytes(slices),
      };
    });
  }

  /** Sends the parameter vector as initial weights; slices that have weights keep them. */
  async initialize(): Promise<void> {
    const { memberId, manifestFingerprint, weights } = this.#options;
    const calls = this.#servers.flatMap(({ caller, messages }) =>
      messages.map((slices) =>
        caller.call("Initialize", {
          memberId,
          manifestFingerprint,
          slices: slices.map((slice) => ({
            sliceIndex: slice.sliceIndex,
            codec: "CODEC_FLOAT32" as const,
            data: bytesOf(weights, slice),
          })),
        }),
      ),
    );
    await Promise.all(calls);
  }

  /** Brings the parameter vector to the servers' latest versions. */
  async pull(): Promise<void> {
    const { memberId, manifestFingerprint } = this.#options;
    const requests = this.#servers.map(({ caller, pulls, messages }) => {
      const slices = messages.flat().map(({ sliceIndex }) => ({
        sliceIndex,
        have: this.#versions.get(sliceIndex) ?? null,
      }));
      if (slices.length === 0) return undefined;
      return pulls.request({ memberId, manifestFingerprint, slices }, (response) => {
        throwUnlessOk(response.status, `Pull from server ${caller.address}`);
        this.#receive(response);
        return response.last;
      });
    });
    throwFirst(await Promise.allSettled(requests));
  }

  /**
   * Pushes the gradient under a push id; resolves when every slice acknowledged it. Pushing the same again is
   * harmless: a slice applies one gradient per push id.
   */
  async push(pushId: { epoch: number; batch: number }, schedule: ScheduleRevision): Promise<Pushed> {
    const { memberId, manifestFingerprint, gradient } = this.#options;
    const staleness: number[] = [];
    const requests = this.#servers.flatMap(({ caller, pushes, messages }) =>
      messages.map((slices) => {
        const request = {
          memberId,
          manifestFingerprint,
          pushId,
          schedule,
          slices: slices.map((slice) => ({
            sliceIndex: slice.sliceIndex,
            base: this.#versionOf(slice.sliceIndex),
            codec: "CODEC_FLOAT32" as const,
            data: bytesOf(gradient, slice),
          })),
        };
        return pushes.request(request, (response) => {
          throwUnlessOk(response.status, `Push to server ${caller.address}`);
          for (const slice of response.slices) if (!slice.duplicate) staleness.push(slice.staleness);
          return true;
        });
      }),
    );
    // All have settled before the gradient is the caller's again.
    throwFirst(await Promise.allSettled(requests));
    const sum = staleness.reduce((total, value) => total + value, 0);
    return { stalenessMean: sum / Math.max(1, staleness.length), stalenessMax: Math.max(0, ...staleness) };
  }

  /** The lowest and the highest count of the slices that were pulled. */
  updateCounts(): { readonly min: number; readonly max: number } {
    const counts = Array.from(this.#versions.values(), (version) => version.count);
    return { min: Math.min(...counts), max: Math.max(...counts) };
  }

  close(): void {
    for (const { caller, pushes, pulls } of this.#servers) {
      pushes.close();
      pulls.close();
      caller.close();
    }
  }

  #versionOf(sliceIndex: number): Version {
    const version = this.#versions.get(sliceIndex);
    if (version === undefined) {
      throw new DownpourError(
        "internal",
        `slice ${sliceIndex} was never pulled, so no gradient can be based on it`,
      );
    }
    return version;
  }

  #receive(response: PullResponse): void {
    const { weights, slices } = this.#options;
    for (const { sliceIndex, version, codec, data, unchanged } of response.slices) {
      const slice = slices[sliceIndex];
      if (slice === undefined || version === null) {
        throw new DownpourError(
          "internal",
          `a server sent slice ${sliceIndex}, which is unknown or has no version`,
        );
      }
      if (!unchanged) {
        if (codec !== "CODEC_FLOAT32" || data.length !== slice.length * 4) {
          throw new DownpourError(
            "internal",
            `a server sent slice ${sliceIndex} as ${data.length} bytes of ${codec}, expected ${slice.length * 4} of CODEC_FLOAT32`,
          );
        }
        copyBytes(bytesOf(weights, slice), data);
      }
      this.#versions.set(sliceIndex, version);
    }
  }
}

function throwFirst(results: readonly PromiseSettledResult<void>[]): void {
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

/** A view of a slice of a parameter vector; no copy. */
function bytesOf(vector: Float32Array, slice: PlacedSlice): Buffer {
  return Buffer.from(vector.buffer, vector.byteOffset + slice.offset * 4, slice.length * 4);
}

/** Neighbouring slices together, up to the payload limit of a message. */
function groupByBytes(slices: readonly PlacedSlice[]): PlacedSlice[][] {
  const groups: PlacedSlice[][] = [];
  let bytes = 0;
  for (const slice of slices) {
    const size = slice.length * 4;
    const group = groups.at(-1);
    if (group === undefined || bytes + size > limits.payloadBytesMax) {
      groups.push([slice]);
      bytes = size;
    } else {
      group.push(slice);
      bytes += size;
    }
  }
  return groups;
}
