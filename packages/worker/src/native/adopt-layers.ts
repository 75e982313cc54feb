import { createRandom } from "@downpour/datasets";
import { DownpourError } from "@downpour/errors";
import type * as tf from "@tensorflow/tfjs";

type Tensorflow = typeof tf;

/** What the layers of one model need to know of the step that runs, and what they leave behind. */
export class StepContext {
  /** Seed of the step's randomness: int32 [2], a feed of the step graph. Set before each training step. */
  seed: tf.Tensor1D | undefined;
  /** The same as numbers, for backends that draw in JavaScript. */
  seedValues: readonly [number, number] = [0, 0];
  /** Batch statistics of the training step, by the variable of the moving statistic they belong to; kept. */
  readonly statistics = new Map<tf.Variable, tf.Tensor>();
}

/** The fields of tfjs's batch normalization layer that its types leave out. */
interface BatchNormalizationLayer extends tf.layers.Layer {
  readonly axis: number;
  readonly epsilon: number;
  readonly gamma: tf.LayerVariable | null | undefined;
  readonly beta: tf.LayerVariable | null | undefined;
  readonly movingMean: tf.LayerVariable;
  readonly movingVariance: tf.LayerVariable;
}

interface DropoutLayer extends tf.layers.Layer {
  readonly rate: number;
  readonly noiseShape: number[] | null | undefined;
}

/**
 * Gives the plain batch normalization and dropout layers of a model another `call` for training: normalization
 * leaves its batch statistics in the context (the servers keep the running ones), dropout draws its mask from the step's
 * seed. What they compute in inference stays tfjs's.
 *
 * @throws usage: batch normalization over another axis than the last
 */
export function adoptLayers(tensorflow: Tensorflow, model: tf.LayersModel, context: StepContext): void {
  let dropouts = 0;
  for (const layer of layersBelow(model)) {
    const kind = layer.getClassName();
    if (kind === "BatchNormalization") {
      adoptBatchNormalization(tensorflow, layer as BatchNormalizationLayer, context);
    } else if (kind === "Dropout" && (layer as DropoutLayer).noiseShape == null) {
      adoptDropout(tensorflow, layer as DropoutLayer, context, ++dropouts);
    }
  }
}

/** The layers of a model and of the models inside it. */
function layersBelow(model: tf.LayersModel): tf.layers.Layer[] {
  return model.layers.flatMap((layer) => {
    const inner = (layer as unknown as Partial<tf.LayersModel>).layers;
    return inner === undefined ? [layer] : layersBelow(layer as unknown as tf.LayersModel);
  });
}

function adoptBatchNormalization(
  tensorflow: Tensorflow,
  layer: BatchNormalizationLayer,
  { statistics }: StepContext,
): void {
  const rank = layer.inputSpec[0]?.ndim ?? 0;
  if (layer.axis !== -1 && layer.axis !== rank - 1) {
    throw new DownpourError(
      "usage",
      `layer ${layer.name} normalizes over axis ${layer.axis}, expected the last one; use channels last`,
    );
  }
  const infer = layer.call.bind(layer);
  layer.call = (inputs, kwargs) => {
    if (kwargs.training !== true) return infer(inputs, kwargs);
    return tensorflow.tidy(() => {
      const x = onlyTensor(inputs);
      const channels = x.shape.at(-1) ?? 1;
      const scale = layer.gamma?.read() ?? tensorflow.ones([channels]);
      const offset = layer.beta?.read() ?? tensorflow.zeros([channels]);
      const { y, mean, variance } = normalizeBatch(tensorflow, x, scale, offset, layer.epsilon);
      leave(tensorflow, statistics, layer.movingMean, mean);
      leave(tensorflow, statistics, layer.movingVariance, variance);
      return y;
    });
  };
}

/** Keeps a statistic for the end of the step. Of a layer that is applied several times the last one counts. */
function leave(
  tensorflow: Tensorflow,
  statistics: StepContext["statistics"],
  moving: tf.LayerVariable,
  statistic: tf.Tensor,
): void {
  const variable = moving.read() as tf.Variable;
  statistics.get(variable)?.dispose();
  statistics.set(variable, tensorflow.keep(statistic));
}

/**
 * y = scale (x - mean) / sqrt(variance + epsilon) + offset, with mean and variance over all but the last dimension.
 * The variance that comes back has Bessel's correction, n / (n - 1), as running statistics take it; the one
 * that normalizes has not (Ioffe and Szegedy 2015, algorithms 1 and 2).
 */
function normalizeBatch(
  tensorflow: Tensorflow,
  x: tf.Tensor,
  scale: tf.Tensor,
  offset: tf.Tensor,
  epsilon: number,
): { y: tf.Tensor; mean: tf.Tensor; variance: tf.Tensor } {
  const channels = x.shape.at(-1) ?? 1;
  const rank4 = x.rank === 4 ? x : tensorflow.reshape(x, [-1, 1, 1, channels]);
  if (hasKernel(tensorflow, "FusedBatchNormV3")) {
    const inputs = { x: rank4, scale, offset };
    const outputs = tensorflow.engine().runKernel("FusedBatchNormV3", inputs, { epsilon });
    const [y, mean, variance] = outputs as unknown as [tf.Tensor, tf.Tensor, tf.Tensor];
    return { y: tensorflow.reshape(y, x.shape), mean, variance };
  }
  const moments = tensorflow.moments(rank4, [0, 1, 2]);
  const y = tensorflow.batchNorm(
    rank4 as tf.Tensor4D,
    moments.mean as tf.Tensor1D,
    moments.variance as tf.Tensor1D,
    offset as tf.Tensor1D,
    scale as tf.Tensor1D,
    epsilon,
  );
  const count = x.size / channels;
  const variance = tensorflow.mul(moments.variance, count / Math.max(1, count - 1));
  return { y: tensorflow.reshape(y, x.shape), mean: moments.mean, variance };
}

function adoptDropout(
  tensorflow: Tensorflow,
  layer: DropoutLayer,
  context: StepContext,
  index: number,
): void {
  const infer = layer.call.bind(layer);
  layer.call = (inputs, kwargs) => {
    if (kwargs.training !== true || layer.rate <= 0 || layer.rate >= 1) return infer(inputs, kwargs);
    return tensorflow.tidy(() => dropout(tensorflow, onlyTensor(inputs), layer.rate, context, index));
  };
}

/** Zeroes a share `rate` of the elements, scales the others by 1 / (1 - rate) (Srivastava et al. 2014). */
function dropout(
  tensorflow: Tensorflow,
  x: tf.Tensor,
  rate: number,
  context: StepContext,
  index: number,
): tf.Tensor {
  const uniform = drawUniform(tensorflow, x.shape, context, index);
  const kept = tensorflow.cast(tensorflow.greaterEqual(uniform, rate), "float32");
  return tensorflow.mul(x, tensorflow.mul(kept, 1 / (1 - rate)));
}

/** Uniform in [0, 1): a function of the step's seed and the layer's index. */
function drawUniform(
  tensorflow: Tensorflow,
  shape: readonly number[],
  { seed, seedValues }: StepContext,
  index: number,
): tf.Tensor {
  if (seed !== undefined && hasKernel(tensorflow, "StatelessRandomUniform")) {
    const ofLayer = tensorflow.add(seed, tensorflow.tensor1d([0, index], "int32"));
    const drawn = tensorflow.engine().runKernel("StatelessRandomUniform", { seed: ofLayer }, { shape });
    return drawn as unknown as tf.Tensor;
  }
  const random = createRandom(...seedValues, index);
  const size = shape.reduce((product, length) => product * length, 1);
  const values = new Float32Array(size);
  for (let i = 0; i < size; i++) values[i] = random.uniform();
  return tensorflow.tensor(values, [...shape]);
}

function hasKernel(tensorflow: Tensorflow, name: string): boolean {
  return tensorflow.getKernel(name, tensorflow.getBackend()) != null;
}

function onlyTensor(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
  return (Array.isArray(inputs) ? inputs[0] : inputs) as tf.Tensor;
}
