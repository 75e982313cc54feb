import type * as tf from "@tensorflow/tfjs";
import { computeOnHeap, type KernelCall, portableKernel, swapOuterAxes } from "./portable-kernel.ts";

/** Rows of one average pooling: XNNPACK holds a pointer for each, 4 MiB at this bound. More go the backend's way. */
const pooledRowsMax = 1 << 20;

type ReduceCall = KernelCall<{ x: tf.Tensor }, tf.SumAttrs>;

/**
 * Mean over the leading axes as an average pooling over [rows, columns], which takes a tenth of the time of the
 * backend's transposition and sum. Such are the gradient of a bias and the statistics of batch normalization.
 *
 * @param finish makes the result from the mean and the number of rows
 */
function reduceLeadingAxes(
  call: ReduceCall,
  finish: (mean: tf.Tensor, rows: number) => tf.Tensor,
): tf.TensorInfo {
  const { x } = call.inputs;
  const axes = call.tf.util.parseAxisParam(call.attrs.axis, x.shape).sort((a, b) => a - b);
  const kept = x.shape.slice(axes.length);
  const columns = kept.reduce((product, size) => product * size, 1);
  const rows = x.size / columns;
  const areLeading = kept.length > 0 && axes.every((axis, i) => axis === i);
  // Not a number where a size is 0, which no comparison holds for.
  const canPool = areLeading && x.dtype === "float32" && rows >= 2 && rows <= pooledRowsMax;
  if (!canPool) return call.original();
  return call.tf.tidy(() => {
    const image: tf.Tensor4D = call.tf.reshape(x, [1, rows, 1, columns]);
    const mean = finish(call.tf.avgPool(image, [rows, 1], 1, "valid"), rows);
    return call.tf.reshape(mean, call.attrs.keepDims ? [...axes.map(() => 1), ...kept] : kept);
  });
}

/** Mean, fast over leading axes. */
export const mean = portableKernel("Mean", (call: ReduceCall) => reduceLeadingAxes(call, (value) => value));

/** Sum, fast over leading axes. */
export const sum = portableKernel("Sum", (call: ReduceCall) =>
  reduceLeadingAxes(call, (value, rows) => call.tf.mul(value, rows)),
);

type MatrixCall = KernelCall<{ a: tf.Tensor; b: tf.Tensor }, tf.BatchMatMulAttrs>;

/**
 * Product of two matrices, fast also where one is taken transposed, as both gradients of a dense layer have it. The
 * backend computes those in nested loops, 10 times as long; here they are transposed first. Batches of matrices go the
 * backend's way.
 */
export const matrixProduct = portableKernel("BatchMatMul", (call: MatrixCall) => {
  const { a, b } = call.inputs;
  const { transposeA, transposeB } = call.attrs;
  const isSingle = [a, b].every((x) => x.shape.slice(0, -2).every((size) => size === 1));
  if (!isSingle || !(transposeA || transposeB)) return call.original();
  return call.tf.tidy(() =>
    call.tf.matMul(transposeA ? transposed(call, a) : a, transposeB ? transposed(call, b) : b),
  );
});

function transposed(call: MatrixCall, x: tf.Tensor): tf.Tensor {
  const [rows = 1, columns = 1] = x.shape.slice(-2);
  return swapOuterAxes(call, x, [rows, 1, columns], [...x.shape.slice(0, -2), columns, rows]);
}

type SegmentCall = KernelCall<{ x: tf.Tensor; segmentIds: tf.Tensor }, tf.UnsortedSegmentSumAttrs>;

/** out[s] = sum of x[i] over the i with segmentIds[i] = s: the gradient of tf.gather. Ids below 0 are left out. */
export const segmentSum = portableKernel("UnsortedSegmentSum", (call: SegmentCall) => {
  const { x, segmentIds } = call.inputs;
  const { numSegments } = call.attrs;
  const [count = 0, ...rest] = x.shape;
  const columns = rest.reduce((product, size) => product * size, 1);
  const ids = call.backend.readSync(segmentIds.dataId) as Int32Array;
  return computeOnHeap(call.backend, [numSegments, ...rest], [x], (to, from: Float32Array) => {
    to.fill(0);
    for (let i = 0; i < count; i++) {
      const segment = ids[i] as number;
      if (segment < 0 || segment >= numSegments) continue;
      for (let j = 0; j < columns; j++) {
        const place = segment * columns + j;
        to[place] = (to[place] as number) + (from[i * columns + j] as number);
      }
    }
  });
});

type TileCall = KernelCall<{ x: tf.Tensor }, tf.TileAttrs>;

/**
 * Repetition, fast where a vector is repeated along leading axes of size 1, as the gradient of batch normalization
 * repeats the statistics of the channels: 30 times as fast as the backend's loop over elements.
 */
export const tile = portableKernel("Tile", (call: TileCall) => {
  const { x } = call.inputs;
  const { reps } = call.attrs;
  const shape = x.shape.map((size, i) => size * (reps[i] ?? 1));
  const firstKept = x.shape.findIndex((size) => size !== 1);
  const isRepeatedWhole = firstKept >= 0 && reps.every((count, i) => i < firstKept || count === 1);
  if (x.dtype !== "float32" || x.size === 0 || !isRepeatedWhole) return call.original();
  return computeOnHeap(call.backend, shape, [x], (to, from: Float32Array) => {
    to.set(from);
    for (let filled = from.length; filled < to.length; filled *= 2) to.copyWithin(filled, 0, filled);
  });
});
