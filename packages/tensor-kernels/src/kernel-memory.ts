import { DownpourError } from "@downpour/errors";
import { alignmentBytes, FreeList } from "./free-list.ts";
import type { Kernels } from "./kernels.ts";
import { makeSimdKernels } from "./simd-kernels.ts";
import {
  instantiateKernels,
  isSharedMemory,
  newSharedMemory,
  pageBytes,
  type SharedMemory,
} from "./web-assembly.ts";

/** What another thread needs to attach: goes through postMessage or workerData. */
export interface KernelMemoryHandle {
  readonly memory: SharedMemory;
}

/** Where kernels take arrays for state from; `KernelMemory` is one. */
export interface KernelArrays {
  readonly kernels: Kernels;
  allocateFloats(length: number): Float32Array;
  allocateBytes(length: number): Uint8Array;
  free(view: Float32Array | Uint8Array): void;
}

/** Kept free, so that no array begins at address 0. */
const headBytes = 1024;
/** WebAssembly addresses 4 GiB; the last page stays out, so that every end is an address. */
const capacityBytesMax = 65_535 * pageBytes - headBytes;

/**
 * A shared WebAssembly memory with the SIMD kernels over it. The thread that creates it allocates; other threads
 * attach, and are handed arrays as (byteOffset, length). Pages take no room before they are first written.
 */
export class KernelMemory implements KernelArrays {
  readonly kernels: Kernels;
  readonly handle: KernelMemoryHandle;
  readonly #buffer: SharedArrayBuffer;
  readonly #blocks: FreeList | undefined;

  private constructor(memory: SharedMemory, blocks: FreeList | undefined) {
    this.handle = { memory };
    this.#buffer = memory.buffer;
    this.#blocks = blocks;
    this.kernels = makeSimdKernels(instantiateKernels(memory), memory.buffer);
  }

  /** The most that one memory holds: 4 GiB less a page and a kilobyte. */
  static readonly bytesMax = capacityBytesMax;

  /**
   * @param bytes room for arrays; each takes a multiple of 64 bytes
   * @throws DownpourError resourceExhausted beyond `bytesMax`, or when the system gives no address space
   */
  static create({ bytes }: { readonly bytes: number }): KernelMemory {
    if (!(bytes >= 0 && bytes <= capacityBytesMax)) {
      throw new DownpourError(
        "resourceExhausted",
        `a kernel memory of ${bytes} bytes was asked for, at most ${capacityBytesMax} are possible; ` +
          "spread the parameters over more memories (apply threads or servers)",
        { facts: { bytes, bytesMax: capacityBytesMax } },
      );
    }
    const end = headBytes + Math.ceil(bytes / alignmentBytes) * alignmentBytes;
    let memory: SharedMemory;
    try {
      memory = newSharedMemory(Math.ceil(end / pageBytes));
    } catch (cause) {
      throw new DownpourError(
        "resourceExhausted",
        `the system gives no kernel memory of ${bytes} bytes; use fewer memories, or raise the limit of address space`,
        { facts: { bytes }, cause },
      );
    }
    return new KernelMemory(memory, new FreeList(headBytes, end));
  }

  /** The memory of another thread, which stays the one that allocates. */
  static attach(handle: KernelMemoryHandle): KernelMemory {
    if (!isSharedMemory(handle?.memory)) {
      throw new DownpourError("internal", "attaching asks for the handle of a kernel memory");
    }
    return new KernelMemory(handle.memory, undefined);
  }

  /** Bytes not allocated. They may lie in several pieces. */
  get bytesFree(): number {
    return this.#allocator().bytesFree;
  }

  /**
   * 64-byte aligned; zeros the first time that its bytes are used, afterwards whatever was there.
   *
   * @throws DownpourError resourceExhausted when it does not fit
   */
  allocateFloats(length: number): Float32Array {
    return this.floatsAt(this.#allocator().allocate(4 * length), length);
  }

  /** The same for bytes. */
  allocateBytes(length: number): Uint8Array {
    return this.bytesAt(this.#allocator().allocate(length), length);
  }

  /**
   * Gives the whole array that was allocated back.
   *
   * @throws DownpourError internal if it was given back, or comes from elsewhere
   */
  free(view: Float32Array | Uint8Array): void {
    if ((view.buffer as unknown) !== this.#buffer) {
      throw new DownpourError(
        "internal",
        `an array of ${view.length} elements is freed in a memory it is not of`,
      );
    }
    this.#allocator().free(view.byteOffset);
  }

  /** @param byteOffset a multiple of 4 */
  floatsAt(byteOffset: number, length: number): Float32Array {
    return new Float32Array(this.#buffer, byteOffset, length);
  }

  bytesAt(byteOffset: number, length: number): Uint8Array {
    return new Uint8Array(this.#buffer, byteOffset, length);
  }

  #allocator(): FreeList {
    if (this.#blocks === undefined) {
      throw new DownpourError("internal", "only the thread that created a kernel memory allocates in it");
    }
    return this.#blocks;
  }
}
