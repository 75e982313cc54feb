import * as tf from "@tensorflow/tfjs";

/**
 * Mean cross-entropy of softmax(logits), in nats: -1/B sum_b log softmax(logits_b)[label_b].
 *
 * @param labels int32 [B], class indices
 * @param logits float32 [B, classes]
 */
export function crossEntropy(labels: tf.Tensor1D, logits: tf.Tensor2D): tf.Scalar {
  const oneHot = tf.oneHot(labels, logits.shape[1]);
  return tf.losses.softmaxCrossEntropy(oneHot, logits) as tf.Scalar;
}

/** How many of the examples have their label as the most likely class. */
export function correctCount(labels: tf.Tensor1D, logits: tf.Tensor2D): tf.Scalar {
  return tf.argMax(logits, 1).equal(labels).sum() as tf.Scalar;
}
