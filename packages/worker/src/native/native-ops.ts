import type * as tf from "@tensorflow/tfjs";
import type { NamedTensorInfoMap, TensorInfo } from "@tensorflow/tfjs";
import {
  dataType,
  type NodeBackend,
  nodeBackendName,
  nodeBackendOf,
  type OpAttribute,
} from "./node-backend.ts";
import { installWideConvolutions } from "./wide-convolutions.ts";

/*
 * TensorFlow's own training ops in place of what tfjs composes from smaller ones. They go into tfjs's registry of
 * kernels and gradients, where every layer finds them, those of this project and plain tfjs layers alike.
 *
 * After this the gradients of this process compute on tfjs-node only.
 */

let installed = false;

/** Registers the ops, once a process. tfjs-node must be the backend. */
export function installNativeOps(tensorflow: typeof tf): void {
  const backend = nodeBackendOf(tensorflow);
  if (backend === undefined || installed) return;
  installed = true;
  installActivationGradients(tensorflow, backend);
  installBiasAdd(tensorflow, backend);
  installSoftmaxCrossEntropy(tensorflow, backend);
  installBatchNorm(tensorflow, backend);
  installStatelessUniform(tensorflow, backend);
  installWideConvolutions(tensorflow, backend);
}

function typeAttribute(backend: NodeBackend, name: string, value: number): OpAttribute {
  return { name, type: backend.binding.TF_ATTR_TYPE, value };
}

/** Activations whose gradient TensorFlow computes in one op from the output. Its inputs are in this order. */
const gradientOps = [
  { kernel: "Relu", op: "ReluGrad", from: "output", order: ["dy", "saved"] },
  { kernel: "Relu6", op: "Relu6Grad", from: "output", order: ["dy", "saved"] },
  { kernel: "Elu", op: "EluGrad", from: "output", order: ["dy", "saved"] },
  { kernel: "Selu", op: "SeluGrad", from: "output", order: ["dy", "saved"] },
  { kernel: "Softplus", op: "SoftplusGrad", from: "input", order: ["dy", "saved"] },
  { kernel: "Sigmoid", op: "SigmoidGrad", from: "output", order: ["saved", "dy"] },
  { kernel: "Tanh", op: "TanhGrad", from: "output", order: ["saved", "dy"] },
] as const;

function installActivationGradients(tensorflow: typeof tf, backend: NodeBackend): void {
  const attributes = [typeAttribute(backend, "T", dataType.float)];
  for (const { kernel, op, from, order } of gradientOps) {
    tensorflow.unregisterGradient(kernel);
    tensorflow.registerGradient({
      kernelName: kernel,
      ...(from === "output" ? { outputsToSave: [true] } : { inputsToSave: ["x"] }),
      gradFunc: (dy, [saved]) => ({
        x: () => {
          const named = { dy: dy as tf.Tensor, saved: saved as tf.Tensor };
          return backend.executeSingleOutput(op, attributes, [named[order[0]], named[order[1]]]);
        },
      }),
    });
  }
}

/** Whether b is one value per channel of a, as a bias is. */
function isBias(a: TensorInfo, b: TensorInfo): boolean {
  return (
    a.dtype === "float32" &&
    b.dtype === "float32" &&
    a.shape.length >= 2 &&
    b.shape.length === 1 &&
    b.shape[0] === a.shape.at(-1)
  );
}

/** a + b: TensorFlow's BiasAdd and BiasAddGrad where b is a bias. */
function installBiasAdd(tensorflow: typeof tf, backend: NodeBackend): void {
  const { executeSingleOutput } = backend;
  const attributes = [
    typeAttribute(backend, "T", dataType.float),
    { name: "data_format", type: backend.binding.TF_ATTR_STRING, value: "NHWC" },
  ];
  const plain = tensorflow.getKernel("Add", nodeBackendName);
  const plainGradient = tensorflow.getGradient("Add");
  tensorflow.unregisterKernel("Add", nodeBackendName);
  tensorflow.registerKernel({
    ...plain,
    kernelFunc: (call) => {
      const { a, b } = call.inputs as { a: TensorInfo; b: TensorInfo };
      return isBias(a, b)
        ? executeSingleOutput.call(backend, "BiasAdd", attributes, [a, b])
        : plain.kernelFunc(call);
    },
  });
  tensorflow.unregisterGradient("Add");
  tensorflow.registerGradient({
    ...plainGradient,
    gradFunc: (dy, saved, attrs) => {
      const [a, b] = saved as [tf.Tensor, tf.Tensor];
      const gradients = plainGradient.gradFunc(dy, saved, attrs);
      if (!isBias(a, b)) return gradients;
      return {
        ...gradients,
        b: () => backend.executeSingleOutput("BiasAddGrad", attributes, [dy as tf.Tensor]),
      };
    },
  });
}

/**
 * Softmax cross-entropy per example and its gradient in one op: inputs logits and labels [B, classes]; outputs
 * loss [B] and d loss / d logits [B, classes].
 */
function installSoftmaxCrossEntropy(tensorflow: typeof tf, backend: NodeBackend): void {
  const attributes = [typeAttribute(backend, "T", dataType.float)];
  const kernelName = "SoftmaxCrossEntropyWithLogits";
  tensorflow.registerKernel({
    kernelName,
    backendName: nodeBackendName,
    kernelFunc: ({ inputs }) => {
      const { logits, labels } = inputs as { logits: TensorInfo; labels: TensorInfo };
      return backend.executeMultipleOutputs(kernelName, attributes, [logits, labels], 2);
    },
  });
  tensorflow.registerGradient({
    kernelName,
    inputsToSave: ["labels"],
    outputsToSave: [false, true],
    gradFunc: (dys, saved) => {
      const [dy] = dys as tf.Tensor[];
      const [labels, backprop] = saved as [tf.Tensor, tf.Tensor];
      return {
        logits: () => tensorflow.mul(tensorflow.expandDims(dy as tf.Tensor, -1), backprop),
        labels: () => tensorflow.zerosLike(labels),
      };
    },
  });
}

/**
 * Batch normalization with the statistics of the batch: inputs x [B, H, W, C], scale and offset [C]; outputs y, mean,
 * variance (Bessel-corrected), and three that its gradient needs (Ioffe and Szegedy 2015, algorithm 1).
 */
function installBatchNorm(tensorflow: typeof tf, backend: NodeBackend): void {
  const { binding } = backend;
  const attributesOf = (epsilon: unknown): OpAttribute[] => [
    typeAttribute(backend, "T", dataType.float),
    typeAttribute(backend, "U", dataType.float),
    { name: "epsilon", type: binding.TF_ATTR_FLOAT, value: epsilon },
    { name: "data_format", type: binding.TF_ATTR_STRING, value: "NHWC" },
    { name: "is_training", type: binding.TF_ATTR_BOOL, value: true },
  ];
  const kernelName = "FusedBatchNormV3";
  tensorflow.registerKernel({
    kernelName,
    backendName: nodeBackendName,
    kernelFunc: ({ inputs, attrs }) => {
      const { x, scale, offset } = inputs as Record<"x" | "scale" | "offset", TensorInfo>;
      const none = tensorflow.tensor1d([], "float32");
      const attributes = [
        ...attributesOf(attrs?.epsilon),
        { name: "exponential_avg_factor", type: binding.TF_ATTR_FLOAT, value: 1 },
      ];
      const outputs = backend.executeMultipleOutputs(
        kernelName,
        attributes,
        [x, scale, offset, none, none],
        6,
      );
      none.dispose();
      return outputs;
    },
  });
  tensorflow.registerGradient({
    kernelName,
    inputsToSave: ["x", "scale"],
    outputsToSave: [false, false, false, true, true, true],
    gradFunc: (dys, saved, attrs) => {
      const [dy] = dys as tf.Tensor[];
      // At once: what is computed inside one of the functions below is disposed of at its end.
      const [x, scale, offset] = backend.executeMultipleOutputs(
        "FusedBatchNormGradV3",
        attributesOf(attrs.epsilon),
        [dy as tf.Tensor, ...saved],
        5,
      ) as [tf.Tensor, tf.Tensor, tf.Tensor];
      return { x: () => x, scale: () => scale, offset: () => offset };
    },
  });
}

/** Uniform in [0, 1), a function of shape and seed (int32 [2]) alone (Salmon et al. 2011, Philox). */
function installStatelessUniform(tensorflow: typeof tf, backend: NodeBackend): void {
  const attributes = [
    typeAttribute(backend, "dtype", dataType.float),
    typeAttribute(backend, "T", dataType.int32),
    typeAttribute(backend, "Tseed", dataType.int32),
  ];
  const kernelName = "StatelessRandomUniform";
  tensorflow.registerKernel({
    kernelName,
    backendName: nodeBackendName,
    kernelFunc: ({ inputs, attrs }) => {
      const { seed } = inputs as NamedTensorInfoMap & { seed: TensorInfo };
      const shape = tensorflow.tensor1d(attrs?.shape as number[], "int32");
      const drawn = backend.executeSingleOutput(kernelName, attributes, [shape, seed]);
      shape.dispose();
      return drawn;
    },
  });
}
