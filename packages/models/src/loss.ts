import * as tf from "@tensorflow/tfjs";

/** Kernel that computes loss and gradient in one op, where the backend has it. */
const fusedKernel = "SoftmaxCrossEntropyWithLogits";

/**
 * Mean cross-entropy of softmax(logits) against target distributions, in nats:
 * -1/B sum_b sum_c target_bc log softmax(logits_b)_c.
 *
 * @param targets float32 [B, classes], rows that add up to 1; no gradient flows into them
 * @param logits float32 [B, classes]
 */
export function crossEntropy(targets: tf.Tensor2D, logits: tf.Tensor2D): tf.Scalar {
  if (tf.getKernel(fusedKernel, tf.getBackend()) != null) {
    const outputs = tf.engine().runKernel(fusedKernel, { logits, labels: targets });
    return tf.mean((outputs as unknown as [tf.Tensor1D])[0]) as tf.Scalar;
  }
  return tf.neg(tf.mean(tf.sum(tf.mul(targets, tf.logSoftmax(logits)), 1))) as tf.Scalar;
}

/** How many of the examples have the class of the largest target as the most likely one. */
export function correctCount(targets: tf.Tensor2D, logits: tf.Tensor2D): tf.Scalar {
  const right = tf.equal(tf.argMax(logits, 1), tf.argMax(targets, 1));
  return tf.sum(tf.cast(right, "float32")) as tf.Scalar;
}
