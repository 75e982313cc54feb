import type * as tf from "@tensorflow/tfjs";
import type { BackendWasm } from "@tensorflow/tfjs-backend-wasm";

export type Tfjs = typeof tf;

/** One call of a kernel. Inputs are on the heap of the backend. */
export interface KernelCall<Inputs, Attributes> {
  readonly tf: Tfjs;
  readonly backend: BackendWasm;
  readonly inputs: Inputs;
  readonly attrs: Attributes;
  /** Runs the kernel that this one replaces, with the same attributes unless others are given. */
  original(attrs?: Attributes): tf.TensorInfo;
}

/** A kernel of the portable backend, by TensorFlow's name. */
export interface PortableKernel {
  readonly name: string;
  readonly run: (call: KernelCall<never, never>) => tf.TensorInfo;
}

/**
 * Names a kernel. Within it, operations of tfjs run on the same backend and are on no gradient tape; a kernel that
 * uses several wraps them in tf.tidy.
 */
export function portableKernel<Inputs, Attributes>(
  name: string,
  run: (call: KernelCall<Inputs, Attributes>) => tf.TensorInfo,
): PortableKernel {
  return { name, run };
}

/** Registers kernels for tfjs' WebAssembly backend, in the place of its own. To be called before the backend is set. */
export function registerKernels(tensorflow: Tfjs, kernels: readonly PortableKernel[]): void {
  for (const { name, run } of kernels) {
    const present: tf.KernelConfig | undefined = tensorflow.getKernel(name, "wasm");
    if (present !== undefined) tensorflow.unregisterKernel(name, "wasm");
    tensorflow.registerKernel({
      // With the set-up function of the replaced kernel, so that it still can be called.
      ...present,
      kernelName: name,
      backendName: "wasm",
      kernelFunc: (params) => {
        const original = (attrs = params.attrs) => present?.kernelFunc({ ...params, attrs } as typeof params);
        const call = { tf: tensorflow, ...params, original };
        return run(call as unknown as KernelCall<never, never>);
      },
    });
  }
}

/**
 * Makes a float32 tensor by a loop over the backend's memory. For what the backend does in slow loops of its own, or
 * can't do.
 *
 * @param compute fills the output, which holds anything before, from the inputs; keeps none of the arrays
 */
export function computeOnHeap(
  backend: BackendWasm,
  shape: readonly number[],
  inputs: readonly tf.TensorInfo[],
  compute: (output: Float32Array, ...inputs: Float32Array[]) => void,
): tf.TensorInfo {
  const output = backend.makeOutput([...shape], "float32");
  // Views are taken after the allocation: memory that grows leaves earlier ones without a buffer.
  compute(floatsOf(backend, output), ...inputs.map((input) => floatsOf(backend, input)));
  return output;
}

function floatsOf(backend: BackendWasm, tensor: tf.TensorInfo): Float32Array {
  return backend.typedArrayFromHeap(tensor) as Float32Array;
}

/**
 * [N, M, C] to [C, M, N], as a tensor of the given shape. The backend's own transposition takes 4 to 10 times as long.
 *
 * @param sizes N, M, C; x may have any shape with as many elements
 */
export function swapOuterAxes(
  { tf: tensorflow, backend }: Pick<KernelCall<unknown, unknown>, "tf" | "backend">,
  x: tf.TensorInfo,
  [n, m, c]: readonly [number, number, number],
  shape: readonly number[],
): tf.Tensor {
  const info = computeOnHeap(backend, shape, [x], (to, from) => transpose(to, from as Float32Array, n, m, c));
  return tensorflow.engine().makeTensorFromTensorInfo(info);
}

function transpose(to: Float32Array, from: Float32Array, n: number, m: number, c: number): void {
  // Tiles that stay in the first-level cache, also where a row's length is a power of 2.
  const rowsPerTile = 8;
  const columnsPerTile = 16;
  const rowStride = m * c;
  for (let middle = 0; middle < m; middle++) {
    for (let firstRow = 0; firstRow < n; firstRow += rowsPerTile) {
      const rowCount = Math.min(rowsPerTile, n - firstRow);
      for (let firstColumn = 0; firstColumn < c; firstColumn += columnsPerTile) {
        const columnEnd = Math.min(firstColumn + columnsPerTile, c);
        for (let column = firstColumn; column < columnEnd; column++) {
          const target = (column * m + middle) * n + firstRow;
          const source = (firstRow * m + middle) * c + column;
          for (let row = 0; row < rowCount; row++) {
            to[target + row] = from[source + row * rowStride] as number;
          }
        }
      }
    }
  }
}
