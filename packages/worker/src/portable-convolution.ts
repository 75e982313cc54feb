import type * as tf from "@tensorflow/tfjs";
import { computeOnHeap, type KernelCall, portableKernel, swapOuterAxes } from "./portable-kernel.ts";

type ConvolutionInfo = tf.backend_util.Conv2DInfo;

function convolutionInfo(
  tensorflow: typeof tf,
  inputShape: readonly number[],
  filterShape: readonly number[],
  attrs: tf.Conv2DBackpropFilterAttrs | tf.Conv2DBackpropInputAttrs,
): ConvolutionInfo {
  return tensorflow.backend_util.computeConv2DInfo(
    inputShape as [number, number, number, number],
    filterShape as [number, number, number, number],
    attrs.strides,
    1,
    attrs.pad,
    attrs.dimRoundingMode,
    false,
    tensorflow.backend_util.convertConv2DDataFormat(attrs.dataFormat),
  );
}

function explicitPadding(
  top: number,
  bottom: number,
  left: number,
  right: number,
): tf.backend_util.ExplicitPadding {
  return [
    [0, 0],
    [top, bottom],
    [left, right],
    [0, 0],
  ];
}

type ForwardCall = KernelCall<
  { x: tf.Tensor4D; filter: tf.Tensor4D },
  tf.Conv2DAttrs & Partial<tf.FusedConv2DAttrs>
>;

/**
 * The backend's convolutions, with the padding of "same" given in numbers: XNNPACK works it out for itself wrongly
 * where the stride is greater than the filter on one axis and there is padding on the other.
 */
export const convolutions = (
  ["Conv2D", "FusedConv2D", "DepthwiseConv2dNative", "FusedDepthwiseConv2D"] as const
).map((name) =>
  portableKernel(name, (call: ForwardCall) => {
    const { attrs, inputs } = call;
    if (attrs.pad !== "same") return call.original();
    const { top, bottom, left, right } = call.tf.backend_util.computeConv2DInfo(
      inputs.x.shape,
      inputs.filter.shape,
      attrs.strides,
      attrs.dilations,
      attrs.pad,
      attrs.dimRoundingMode,
    ).padInfo;
    return call.original({ ...attrs, pad: explicitPadding(top, bottom, left, right) });
  }),
);

type FilterGradientCall = KernelCall<{ x: tf.Tensor4D; dy: tf.Tensor4D }, tf.Conv2DBackpropFilterAttrs>;

/** Elements of the images, or of dy, that one convolution sums over: bounds the copies of them at 16 MiB each. */
const summedElementsMax = 1 << 22;

/**
 * Gradient of a convolution by its filter,
 *   dw[i, j, c, o] = sum over b, y, x of padded x[b, s y + i, s x + j, c] dy[b, y, x, o],
 * as one convolution: of the images [C, H, W, B] with the filter dy [Y, X, B, O], dilated by the stride s. Its
 * outputs are the filter's pixels, and the batch is what it sums over. Large batches are summed part by part.
 */
export const convolutionFilterGradient = portableKernel("Conv2DBackpropFilter", (call: FilterGradientCall) =>
  call.tf.tidy(() => {
    const { x, dy } = call.inputs;
    const batchSize = x.shape[0];
    const partSize = Math.max(1, Math.floor((summedElementsMax * batchSize) / Math.max(x.size, dy.size)));
    if (partSize >= batchSize) return filterGradient(call, x, dy);
    const parts: tf.Tensor[] = [];
    for (let begin = 0; begin < batchSize; begin += partSize) {
      const count = Math.min(partSize, batchSize - begin);
      const part = (images: tf.Tensor4D) => call.tf.slice(images, begin, count);
      parts.push(call.tf.tidy(() => filterGradient(call, part(x), part(dy))));
    }
    return call.tf.addN(parts);
  }),
);

function filterGradient(call: FilterGradientCall, x: tf.Tensor4D, dy: tf.Tensor4D): tf.Tensor4D {
  const info = convolutionInfo(call.tf, x.shape, call.attrs.filterShape, call.attrs);
  const { batchSize, inChannels, outChannels, inHeight, inWidth, filterHeight, filterWidth } = info;
  const { top, left } = info.padInfo;
  const images = swapOuterAxes(
    call,
    x,
    [batchSize, inHeight * inWidth, inChannels],
    [inChannels, inHeight, inWidth, batchSize],
  ) as tf.Tensor4D;
  const filter = call.tf.transpose(dy, [1, 2, 0, 3]);
  // What the last window reaches, which may be less than the declared padding, and more when sizes are rounded up.
  const bottom = Math.max(0, (info.outHeight - 1) * info.strideHeight + filterHeight - inHeight - top);
  const right = Math.max(0, (info.outWidth - 1) * info.strideWidth + filterWidth - inWidth - left);
  const strides: [number, number] = [info.strideHeight, info.strideWidth];
  const padding = explicitPadding(top, bottom, left, right);
  const all = call.tf.conv2d(images, filter, 1, padding, "NHWC", strides);
  // Rows of the image that no window reaches give more outputs than the filter has pixels.
  const gradient = call.tf.slice(all, [0, 0, 0, 0], [inChannels, filterHeight, filterWidth, outChannels]);
  return call.tf.transpose(gradient, [1, 2, 0, 3]);
}

type InputGradientCall = KernelCall<{ dy: tf.Tensor4D; filter: tf.Tensor4D }, tf.Conv2DBackpropInputAttrs>;

/**
 * Gradient of a convolution by its input: the convolution, with stride 1, of dy with the filter turned by half a turn
 * and its channels swapped, where a stride puts zeros between the elements of dy. Replaces nested loops without SIMD,
 * which take 4 to 14 times as long.
 */
export const convolutionInputGradient = portableKernel("Conv2DBackpropInput", (call: InputGradientCall) =>
  call.tf.tidy(() => {
    const { dy, filter } = call.inputs;
    const info = convolutionInfo(call.tf, call.attrs.inputShape, filter.shape, call.attrs);
    const turned = turnFilter(call, filter);
    const top = info.filterHeight - 1 - info.padInfo.top;
    const left = info.filterWidth - 1 - info.padInfo.left;
    const bottom = info.inHeight + info.padInfo.top - info.outHeight;
    const right = info.inWidth + info.padInfo.left - info.outWidth;
    const isDense = info.strideHeight === 1 && info.strideWidth === 1;
    // Less than 0 where windows lie in the padding as a whole.
    if (isDense && Math.min(top, left, bottom, right) >= 0) {
      return call.tf.conv2d(dy, turned, 1, explicitPadding(top, bottom, left, right));
    }
    return call.tf.conv2d(spread(call, info, { top, left }), turned, 1, "valid");
  }),
);

/** [i, j, c, o] to [-i, -j, o, c]. */
function turnFilter(call: InputGradientCall, filter: tf.Tensor4D): tf.Tensor4D {
  const [height, width, inChannels, outChannels] = filter.shape;
  const info = computeOnHeap(
    call.backend,
    [height, width, outChannels, inChannels],
    [filter],
    (to, from: Float32Array) => {
      let source = 0;
      for (let pixel = height * width - 1; pixel >= 0; pixel--) {
        for (let c = 0; c < inChannels; c++) {
          for (let o = 0; o < outChannels; o++) {
            to[(pixel * outChannels + o) * inChannels + c] = from[source++] as number;
          }
        }
      }
    },
  );
  return call.tf.engine().makeTensorFromTensorInfo(info) as tf.Tensor4D;
}

/** dy amid zeros: element (y, x) at (top + stride y, left + stride x), of the size that gives the input's size back. */
function spread(
  call: InputGradientCall,
  info: ConvolutionInfo,
  { top, left }: { top: number; left: number },
): tf.Tensor4D {
  const { batchSize, outHeight, outWidth, outChannels, strideHeight, strideWidth } = info;
  const height = info.inHeight + info.filterHeight - 1;
  const width = info.inWidth + info.filterWidth - 1;
  const made = computeOnHeap(
    call.backend,
    [batchSize, height, width, outChannels],
    [call.inputs.dy],
    (to, from: Float32Array) => {
      to.fill(0);
      let source = 0;
      for (let b = 0; b < batchSize; b++) {
        for (let y = 0; y < outHeight; y++) {
          const row = top + y * strideHeight;
          for (let x = 0; x < outWidth; x++, source += outChannels) {
            const column = left + x * strideWidth;
            if (row < 0 || row >= height || column < 0 || column >= width) continue;
            const target = ((b * height + row) * width + column) * outChannels;
            for (let o = 0; o < outChannels; o++) to[target + o] = from[source + o] as number;
          }
        }
      }
    },
  );
  return call.tf.engine().makeTensorFromTensorInfo(made) as tf.Tensor4D;
}
