import { DownpourError } from "@downpour/errors";
import type { Job } from "@downpour/job";
import {
  type KernelArrays,
  KernelMemory,
  type KernelMemoryHandle,
  type Kernels,
  type PushCodec,
} from "@downpour/tensor-kernels";

/** The vectors of a member, all in one kernel memory, so that kernels of both threads run on them. */
export interface MemberVectors {
  /** For the other thread to attach. */
  readonly memory: KernelMemoryHandle;
  /** Parameter vector that compute reads. */
  readonly weights: Float32Array;
  /** Parameter vector that pulls write, while compute runs. As long. */
  readonly pulled: Float32Array;
  /** Gradients that compute writes in turns: one is pushed while the next is computed. As long. */
  readonly gradients: readonly [Float32Array, Float32Array];
  /** For what communication keeps: residuals, velocities, payloads. */
  readonly workspace: Uint8Array;
}

/** Room for payloads and for the 64 bytes that each array may lose to alignment. */
const slackBytes = 16 * 1024 * 1024;

/** Vectors of state that codecs keep at the worker, in lengths of the parameter vector. */
const stateVectors: Readonly<Record<PushCodec["name"], number>> = {
  float32: 0,
  float16: 0,
  bfloat16: 0,
  int8: 2,
  oneBit: 2,
  topK: 4,
};

/**
 * Bytes of workspace that the communication of a job takes at most, for a parameter vector of `length` elements: the
 * state of its codec, payloads, a sum of gradients where several make one push, and the velocity of DANA-Slim.
 */
export function workspaceBytes(job: Job, length: number): number {
  const payloads = job.wire.push.codec === "float32" ? 0 : 1;
  const sums = job.worker.pushEvery > 1 ? 1 : 0;
  const velocities = job.staleness.policy === "dana" ? 1 : 0;
  const vectors = stateVectors[job.wire.push.codec] + payloads + sums + velocities;
  return vectors * length * Float32Array.BYTES_PER_ELEMENT + slackBytes;
}

/**
 * Allocates the vectors of a member. Pages take no room before they are first written.
 * @throws resourceExhausted: more than one kernel memory holds, 4 GiB
 */
export function allocateVectors(job: Job, length: number): MemberVectors {
  const workspace = workspaceBytes(job, length);
  const vectorBytes = length * Float32Array.BYTES_PER_ELEMENT;
  const memory = KernelMemory.create({ bytes: 4 * (vectorBytes + 64) + workspace });
  const vector = () => memory.allocateFloats(length);
  return {
    memory: memory.handle,
    weights: vector(),
    pulled: vector(),
    gradients: [vector(), vector()],
    workspace: memory.allocateBytes(workspace),
  };
}

/** The same vectors as the thread sees them that they were sent to, with kernels. */
export function attachVectors(sent: MemberVectors): MemberVectors & { readonly arrays: Workspace } {
  const memory = KernelMemory.attach(sent.memory);
  const floats = ({ byteOffset, length }: Float32Array) => memory.floatsAt(byteOffset, length);
  const workspace = memory.bytesAt(sent.workspace.byteOffset, sent.workspace.length);
  return {
    memory: sent.memory,
    weights: floats(sent.weights),
    pulled: floats(sent.pulled),
    gradients: [floats(sent.gradients[0]), floats(sent.gradients[1])],
    workspace,
    arrays: new Workspace(memory, workspace),
  };
}

/**
 * Arrays of one session, out of the workspace. They end with the session: the next one begins at the start again, so
 * what is allocated may hold anything.
 */
export class Workspace implements KernelArrays {
  readonly kernels: Kernels;
  readonly #memory: KernelMemory;
  readonly #bytes: Uint8Array;
  #used = 0;

  constructor(memory: KernelMemory, bytes: Uint8Array) {
    this.kernels = memory.kernels;
    this.#memory = memory;
    this.#bytes = bytes;
  }

  /** @throws internal: more than was planned for the job */
  allocateFloats(length: number): Float32Array {
    return this.#memory.floatsAt(this.#take(length * Float32Array.BYTES_PER_ELEMENT), length);
  }

  /** @throws internal: more than was planned for the job */
  allocateBytes(length: number): Uint8Array {
    return this.#memory.bytesAt(this.#take(length), length);
  }

  free(): void {
    // All of it ends with the session.
  }

  #take(bytes: number): number {
    const begin = this.#used;
    this.#used += Math.ceil(bytes / 64) * 64;
    if (this.#used > this.#bytes.length) {
      throw new DownpourError(
        "internal",
        `communication asks for ${this.#used} bytes of workspace, but ${this.#bytes.length} were planned for the job`,
      );
    }
    return this.#bytes.byteOffset + begin;
  }
}
