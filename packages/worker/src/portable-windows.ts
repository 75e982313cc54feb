import type * as tf from "@tensorflow/tfjs";
import { computeOnHeap, type KernelCall, portableKernel } from "./portable-kernel.ts";

/** What {@link forEachTap} needs of a convolution or a pooling. */
type Windows = Pick<
  tf.backend_util.Conv2DInfo,
  | "batchSize"
  | "inHeight"
  | "inWidth"
  | "outHeight"
  | "outWidth"
  | "strideHeight"
  | "strideWidth"
  | "filterHeight"
  | "filterWidth"
  | "padInfo"
>;

/**
 * Visits each pixel of each window that lies in the image, windows in order, the pixels of a window in order.
 *
 * @param visit gets the numbers of the output's pixel, of the input's pixel, and of the pixel in the window
 */
function forEachTap(windows: Windows, visit: (output: number, input: number, tap: number) => void): void {
  const { inHeight, inWidth, outHeight, outWidth, filterHeight, filterWidth, padInfo } = windows;
  let output = 0;
  for (let b = 0; b < windows.batchSize; b++) {
    for (let y = 0; y < outHeight; y++) {
      const top = y * windows.strideHeight - padInfo.top;
      for (let x = 0; x < outWidth; x++, output++) {
        const left = x * windows.strideWidth - padInfo.left;
        for (let i = 0; i < filterHeight; i++) {
          const row = top + i;
          if (row < 0 || row >= inHeight) continue;
          for (let j = 0; j < filterWidth; j++) {
            const column = left + j;
            if (column < 0 || column >= inWidth) continue;
            visit(output, (b * inHeight + row) * inWidth + column, i * filterWidth + j);
          }
        }
      }
    }
  }
}

type MaxPoolCall = KernelCall<{ dy: tf.Tensor4D; input: tf.Tensor4D }, tf.MaxPoolGradAttrs>;

/**
 * Gradient of max pooling: each element of dy goes to the first largest element of its window. Replaces a search
 * through all windows of each input element, which takes 3 times as long.
 */
export const maxPoolGradient = portableKernel("MaxPoolGrad", (call: MaxPoolCall) => {
  const { dy, input } = call.inputs;
  const { filterSize, strides, pad, dimRoundingMode } = call.attrs;
  const info = call.tf.backend_util.computePool2DInfo(
    input.shape,
    filterSize,
    strides,
    1,
    pad,
    dimRoundingMode,
  );
  const channels = info.inChannels;
  const largest = new Float32Array(channels);
  const places = new Int32Array(channels);
  return computeOnHeap(
    call.backend,
    input.shape,
    [dy, input],
    (to, gradient: Float32Array, image: Float32Array) => {
      to.fill(0);
      let current = 0;
      const hand = () => {
        for (let c = 0; c < channels; c++) {
          const place = places[c] as number;
          if (place >= 0) to[place] = (to[place] as number) + (gradient[current * channels + c] as number);
        }
        largest.fill(Number.NEGATIVE_INFINITY);
        places.fill(-1);
      };
      places.fill(-1);
      largest.fill(Number.NEGATIVE_INFINITY);
      forEachTap(info, (output, pixel) => {
        if (output !== current) {
          hand();
          current = output;
        }
        for (let c = 0; c < channels; c++) {
          const value = image[pixel * channels + c] as number;
          if (value > (largest[c] as number)) {
            largest[c] = value;
            places[c] = pixel * channels + c;
          }
        }
      });
      hand();
    },
  );
});

function depthwiseInfo(
  tensorflow: typeof tf,
  inputShape: readonly number[],
  filterShape: readonly number[],
  attrs: tf.DepthwiseConv2dNativeBackpropFilterAttrs | tf.DepthwiseConv2dNativeBackpropInputAttrs,
): tf.backend_util.Conv2DInfo {
  return tensorflow.backend_util.computeConv2DInfo(
    inputShape as [number, number, number, number],
    filterShape as [number, number, number, number],
    attrs.strides,
    // tfjs refuses gradients of dilated convolutions.
    1,
    attrs.pad,
    attrs.dimRoundingMode,
    true,
  );
}

type DepthwiseFilterCall = KernelCall<
  { x: tf.Tensor4D; dy: tf.Tensor4D },
  tf.DepthwiseConv2dNativeBackpropFilterAttrs
>;

/**
 * Gradient of a depthwise convolution by its filter, with stride s and multiplier M:
 *   dw[i, j, c, m] = sum over b, y, x of padded x[b, s y + i, s x + j, c] dy[b, y, x, M c + m].
 */
export const depthwiseFilterGradient = portableKernel(
  "DepthwiseConv2dNativeBackpropFilter",
  (call: DepthwiseFilterCall) => {
    const { x, dy } = call.inputs;
    const { filterShape } = call.attrs;
    const info = depthwiseInfo(call.tf, x.shape, filterShape, call.attrs);
    const channels = info.inChannels;
    const multiplier = filterShape[3];
    const outChannels = channels * multiplier;
    const sums = new Float64Array(info.filterHeight * info.filterWidth * outChannels);
    return computeOnHeap(
      call.backend,
      filterShape,
      [x, dy],
      (to, image: Float32Array, gradient: Float32Array) => {
        forEachTap(info, (output, pixel, tap) => {
          for (let c = 0, o = 0; c < channels; c++) {
            const value = image[pixel * channels + c] as number;
            for (let m = 0; m < multiplier; m++, o++) {
              const place = tap * outChannels + o;
              sums[place] = (sums[place] as number) + value * (gradient[output * outChannels + o] as number);
            }
          }
        });
        to.set(sums);
      },
    );
  },
);

type DepthwiseInputCall = KernelCall<
  { dy: tf.Tensor4D; filter: tf.Tensor4D },
  tf.DepthwiseConv2dNativeBackpropInputAttrs
>;

/**
 * Gradient of a depthwise convolution by its input, with multiplier M: each window adds
 * sum over m of dy[b, y, x, M c + m] w[i, j, c, m] to the pixels it covers.
 */
export const depthwiseInputGradient = portableKernel(
  "DepthwiseConv2dNativeBackpropInput",
  (call: DepthwiseInputCall) => {
    const { dy, filter } = call.inputs;
    const { inputShape } = call.attrs;
    const info = depthwiseInfo(call.tf, inputShape, filter.shape, call.attrs);
    const channels = info.inChannels;
    const multiplier = filter.shape[3];
    const outChannels = channels * multiplier;
    return computeOnHeap(
      call.backend,
      inputShape,
      [dy, filter],
      (to, gradient: Float32Array, weights: Float32Array) => {
        to.fill(0);
        forEachTap(info, (output, pixel, tap) => {
          for (let c = 0, o = 0; c < channels; c++) {
            let sum = 0;
            for (let m = 0; m < multiplier; m++, o++) {
              sum +=
                (gradient[output * outChannels + o] as number) * (weights[tap * outChannels + o] as number);
            }
            const place = pixel * channels + c;
            to[place] = (to[place] as number) + sum;
          }
        });
      },
    );
  },
);
