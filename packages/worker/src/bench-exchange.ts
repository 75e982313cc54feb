import { DownpourError } from "@downpour/errors";
import type { Job } from "@downpour/job";
import { cutSlices, type Manifest, makeManifest, manifestToWire } from "@downpour/parameter-vector";
import { connectParameterServer, type TlsMaterial } from "@downpour/protocol";
import { KernelMemory } from "@downpour/tensor-kernels";
import { ParameterClient } from "./parameter-client.ts";
import { PullDecoder } from "./pull-payloads.ts";
import { PushEncoder } from "./push-encoder.ts";
import { WeightReplica } from "./weight-replica.ts";

/** Pushes and pulls to be timed, between this process and a parameter server that nobody has used yet. */
export interface ExchangeMeasurement {
  /** The server's job: one worker, plain SGD at a constant rate, as many epochs as steps. */
  readonly job: Job;
  readonly serverAddress: string;
  /** The only member; it pushes and pulls. */
  readonly memberId: string;
  /** Elements of the parameter vector, one large weight. */
  readonly parameters: number;
  /** Steps before those that count: code is compiled, windows grow. */
  readonly warmupSteps: number;
  readonly steps: number;
  readonly tls?: TlsMaterial | undefined;
}

/** What a push and a pull of the whole vector took. */
export interface ExchangeTimes {
  /** Medians over the steps. */
  readonly pushMilliseconds: number;
  readonly pullMilliseconds: number;
  /** CPU time of this process for one push and one pull: the mean, all threads. */
  readonly cpuMilliseconds: number;
  /** Payload of one push and of one pull, as the server counted it. */
  readonly pushBytes: number;
  readonly pullBytes: number;
}

const requestTimeoutMs = 120_000;
const schedule = { revision: 1, dropFactor: 1, rateFactor: 1, momentum: 0 };
/** Vectors of the memory, at most: weights twice, gradient twice, payload, state of the codec. */
const vectorsMax = 10;
const spareBytes = 1024 * 1024;

/**
 * Times pushes and pulls through the client that workers have, to a server whose slices it assigns as a coordinator
 * does. Each push is applied before it is acknowledged, so that each pull brings the whole vector.
 *
 * @throws internal: what was pulled is not what was pushed; else as the client
 */
export async function measureExchange(measurement: ExchangeMeasurement): Promise<ExchangeTimes> {
  const { job, serverAddress, memberId, warmupSteps, steps, tls } = measurement;
  const manifest = wholeVector(measurement.parameters);
  const slices = cutSlices(manifest, 1).map((slice) => ({ ...slice, serverIndex: 0, term: 1 }));
  const bytes = Math.min(KernelMemory.bytesMax, vectorsMax * 4 * manifest.length + spareBytes);
  const arrays = KernelMemory.create({ bytes });
  const vector = () => arrays.allocateFloats(manifest.length);
  const [weights, pulled, gradient, template] = [vector(), vector(), vector(), vector()];
  for (let i = 0; i < template.length; i++) template[i] = gradientAt(i);
  const replica = new WeightReplica({ slices, weights, pulled });
  const encoder = new PushEncoder({ job, manifest, slices, arrays });
  const pullCodec = new PullDecoder({ codec: job.wire.pull, manifest, slices, arrays });
  const caller = connectParameterServer(serverAddress, requestTimeoutMs, tls && { tls });
  const client = new ParameterClient({
    ...{
      memberId,
      manifestFingerprint: manifest.fingerprint,
      layout: { serverAddresses: [serverAddress], slices },
    },
    ...{ replica, pullCodec, requestTimeoutMs, tls },
  });
  const push = async (epoch: number): Promise<void> => {
    const delivery = client.delivery({
      ...{ pushId: { epoch, batch: 0 }, schedule, bases: replica.bases, rounds: [], lastOfLease: false },
      slices: encoder.encode(gradient, { norms: undefined, momentum: 0, dense: false }),
      onAcknowledged: (sliceIndex, applied) => encoder.acknowledged(sliceIndex, applied),
    });
    await delivery.send();
  };
  try {
    await caller.call("Assign", {
      coordinatorEpoch: 1,
      manifest: manifestToWire(manifest),
      slices: slices.map(({ serverIndex: _, ...slice }) => slice),
      batchesPerEpoch: 1,
    });
    await caller.call("SetMembers", { coordinatorEpoch: 1, revision: 1, memberIds: [memberId] });
    await client.initialize(weights);
    await client.pull(false);
    replica.adopt();
    const pushTimes: number[] = [];
    const pullTimes: number[] = [];
    let cpuMicroseconds = 0;
    let start = await bytesOf(caller);
    for (let step = 0; step < warmupSteps + steps; step++) {
      if (step === warmupSteps) start = await bytesOf(caller);
      // Encoders may change it.
      gradient.set(template);
      const cpu = process.cpuUsage();
      const begin = performance.now();
      await push(step);
      const middle = performance.now();
      await client.pull(false);
      const end = performance.now();
      const { user, system } = process.cpuUsage(cpu);
      if (step === 0) checkPulled(replica, job);
      replica.adopt();
      if (step < warmupSteps) continue;
      pushTimes.push(middle - begin);
      pullTimes.push(end - middle);
      cpuMicroseconds += user + system;
    }
    const end = await bytesOf(caller);
    return {
      pushMilliseconds: middleOf(pushTimes),
      pullMilliseconds: middleOf(pullTimes),
      cpuMilliseconds: cpuMicroseconds / 1000 / steps,
      pushBytes: (end.push - start.push) / steps,
      pullBytes: (end.pull - start.pull) / steps,
    };
  } finally {
    client.close();
    caller.close();
  }
}

function wholeVector(parameters: number): Manifest {
  const shape = [parameters];
  return makeManifest([{ name: "weights", shape, role: "weight", trainable: true, decayed: false }]);
}

/** Payload bytes that the server has taken and sent so far. */
async function bytesOf(caller: ReturnType<typeof connectParameterServer>) {
  const { gradientBytesReceived, weightBytesSent } = await caller.call("GetServerStatus", {});
  return { push: gradientBytesReceived, pull: weightBytesSent };
}

/** Small, and different from its neighbours; multiples of a power of 2, which float32 holds exactly. */
function gradientAt(index: number): number {
  return (((index * 31) % 101) - 50) / 1024;
}

/** After one push from 0 every weight is the gradient times the rate, off by no bit. Other codecs round. */
function checkPulled(replica: WeightReplica, { wire, learningRate }: Job): void {
  if (wire.push.codec !== "float32" || wire.pull !== "float32") return;
  for (const { sliceIndex, offset } of replica.slices) {
    for (const [i, weight] of replica.pulledSlice(sliceIndex).entries()) {
      const expected = -learningRate.initial * gradientAt(offset + i);
      if (weight === expected) continue;
      throw new DownpourError(
        "internal",
        `weight ${i} of slice ${sliceIndex} is ${weight} after one push, expected ${expected}`,
      );
    }
  }
}

/** The median. */
function middleOf(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const half = sorted.length >> 1;
  const upper = sorted[half] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2;
}
