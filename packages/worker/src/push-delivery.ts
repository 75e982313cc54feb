import { DownpourError } from "@downpour/errors";
import {
  limits,
  type PushIdInput,
  type PushRequestInput,
  type PushResponse,
  type ScheduleRevisionInput,
  type SequencedStream,
  type SliceGradientInput,
  type SliceWeights,
  throwUnlessOk,
  type Version,
  type WeightsWantedInput,
} from "@downpour/protocol";

/** Norms of one whole tensor, as they travel. */
export type TensorNorms = NonNullable<PushRequestInput["norms"]>[number];

/** The gradient of one slice, encoded. */
export interface EncodedSlice {
  readonly sliceIndex: number;
  readonly codec: NonNullable<SliceGradientInput["codec"]>;
  readonly data: Uint8Array;
  /** Norms of the whole tensors that the slice carries elements of; for LARS only. */
  readonly norms: readonly TensorNorms[];
}

/** A gradient on its way to the servers. */
export interface OutgoingPush {
  readonly pushId: PushIdInput;
  readonly schedule: ScheduleRevisionInput;
  /** By slice: the version that the gradient was computed on. */
  readonly bases: readonly (Version | undefined)[];
  /** By server: the round of synchronous training that it belongs to. */
  readonly rounds: readonly number[];
  /** No batch of the sender follows for now. */
  readonly lastOfLease: boolean;
  /** By slice index. */
  readonly slices: readonly EncodedSlice[];
  /** Told once for each slice. `applied`: this gradient is in the slice, not one of another worker. */
  readonly onAcknowledged: (sliceIndex: number, applied: boolean) => void;
  /** Weights that the answers are to bring; none where it is left out. */
  readonly weights?: WeightsWithPush | undefined;
}

/** Weights as they are after a push, in the answers to it: a pull without a round trip of its own. */
export interface WeightsWithPush {
  /** Of one server, as they are asked for when the push is sent. */
  readonly wanted: (serverIndex: number) => WeightsWantedInput;
  /** Takes what came. */
  readonly receive: (weights: readonly SliceWeights[]) => void;
}

/** What the servers said about one push. */
export interface Pushed {
  /** Over the slices that applied the gradient, in updates; 0 when all were duplicates. */
  readonly stalenessMean: number;
  readonly stalenessMax: number;
  /** Whether all weights came that were asked for. */
  readonly hasWeights: boolean;
}

/** The way to one server. */
export interface PushRoute {
  readonly serverIndex: number;
  readonly address: string;
  readonly stream: Pick<SequencedStream<PushRequestInput, PushResponse>, "request">;
  /** Its slices, in order. */
  readonly slices: readonly number[];
}

export interface PushDeliveryOptions {
  readonly memberId: string;
  readonly manifestFingerprint: string;
  /** The ways to all slices, as they are now. @throws unavailable: a server is missing */
  readonly routes: () => readonly PushRoute[];
  readonly push: OutgoingPush;
}

interface Message {
  readonly route: PushRoute;
  readonly request: Omit<PushRequestInput, "sequence">;
  /** The last one to its server: the weights after it have the whole push. */
  readonly isLast: boolean;
}

/**
 * Brings one gradient to all slices. Sending again after a failure sends the same bytes, and only what was not
 * acknowledged, to wherever the slices are by then: a slice applies one gradient per push id.
 */
export class PushDelivery {
  readonly #options: PushDeliveryOptions;
  readonly #acknowledged = new Set<number>();
  #attempts = 0;
  #stalenessSum = 0;
  #stalenessMax = 0;
  #applied = 0;
  /** Slices whose weights came. */
  readonly #brought = new Set<number>();

  constructor(options: PushDeliveryOptions) {
    this.#options = options;
  }

  /**
   * Sends what is not acknowledged yet; resolves when every slice has acknowledged. All answers are in, or given up,
   * when it settles.
   */
  async send(): Promise<Pushed> {
    this.#attempts++;
    const open = this.#options.routes().flatMap((route) => this.#messagesFor(route));
    const results = await Promise.allSettled(
      open.map((message) =>
        message.route.stream.request(this.#requestOf(message), (response) =>
          this.#receive(message, response),
        ),
      ),
    );
    for (const result of results) if (result.status === "rejected") throw result.reason;
    return {
      stalenessMean: this.#stalenessSum / Math.max(1, this.#applied),
      stalenessMax: this.#stalenessMax,
      hasWeights: this.#options.push.slices.every(({ sliceIndex }) => this.#brought.has(sliceIndex)),
    };
  }

  #requestOf({ request, route, isLast }: Message): Omit<PushRequestInput, "sequence"> {
    const { weights } = this.#options.push;
    if (weights === undefined || !isLast) return request;
    return { ...request, weightsWanted: weights.wanted(route.serverIndex) };
  }

  #receive(message: Message, response: PushResponse): boolean {
    throwUnlessOk(response.status, `Push to server ${message.route.address}`);
    for (const { sliceIndex, staleness, duplicate } of response.slices) {
      this.#acknowledged.add(sliceIndex);
      if (!duplicate) {
        this.#applied++;
        this.#stalenessSum += staleness;
        this.#stalenessMax = Math.max(this.#stalenessMax, staleness);
      }
      // After a lost acknowledgement the duplicate is almost certainly this gradient itself.
      this.#options.push.onAcknowledged(sliceIndex, !duplicate || this.#attempts > 1);
    }
    const { weights } = response;
    if (weights.length > 0) {
      this.#options.push.weights?.receive(weights);
      for (const { sliceIndex } of weights) this.#brought.add(sliceIndex);
    }
    return !response.more;
  }

  /** One message, or several where one would be too large. */
  #messagesFor(route: PushRoute): Message[] {
    const { push, memberId, manifestFingerprint } = this.#options;
    const { pushId, schedule, rounds, lastOfLease } = push;
    const round = rounds[route.serverIndex] ?? 0;
    const header = { memberId, manifestFingerprint, pushId, schedule, round, lastOfLease };
    const slices = route.slices
      .filter((sliceIndex) => !this.#acknowledged.has(sliceIndex))
      .map((sliceIndex) => push.slices[sliceIndex] as EncodedSlice);
    return groupByBytes(slices).map((group, i, { length }) => ({
      route,
      isLast: i === length - 1,
      request: { ...header, slices: group.map((slice) => this.#gradientOf(slice)), norms: normsOf(group) },
    }));
  }

  #gradientOf({ sliceIndex, codec, data }: EncodedSlice): SliceGradientInput {
    const base = this.#options.push.bases[sliceIndex];
    if (base === undefined) {
      throw new DownpourError(
        "internal",
        `slice ${sliceIndex} was never pulled, so no gradient can be based on it`,
      );
    }
    return { sliceIndex, base, codec, data: Buffer.from(data.buffer, data.byteOffset, data.byteLength) };
  }
}

/** Each tensor once. */
function normsOf(slices: readonly EncodedSlice[]): TensorNorms[] {
  const norms = new Map(slices.flatMap((slice) => slice.norms.map((each) => [each.tensorIndex, each])));
  return [...norms.values()];
}

/** Neighbouring slices together, up to the payload limit of a message. */
function groupByBytes(slices: readonly EncodedSlice[]): EncodedSlice[][] {
  const groups: EncodedSlice[][] = [];
  let bytes = 0;
  for (const slice of slices) {
    const size = slice.data.byteLength;
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
