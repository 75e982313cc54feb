/** Two convolutions and a dense layer; the last layer gives logits, one a class. */
export default function ({ tf, input, seed, options }) {
  const { height, width, channels, classCount } = input;
  const kernelInitializer = tf.initializers.heUniform({ seed });
  const convolution = { kernelSize: 3, activation: "relu", padding: "same", kernelInitializer };
  return tf.sequential({
    name: "shapes-net",
    layers: [
      tf.layers.conv2d({
        ...convolution,
        inputShape: [height, width, channels],
        filters: options.filters,
        name: "conv1",
      }),
      tf.layers.maxPooling2d({ poolSize: 2, name: "pool1" }),
      tf.layers.conv2d({ ...convolution, filters: 2 * options.filters, name: "conv2" }),
      tf.layers.maxPooling2d({ poolSize: 4, name: "pool2" }),
      tf.layers.flatten({ name: "flatten" }),
      tf.layers.dense({ units: classCount, kernelInitializer, name: "logits" }),
    ],
  });
}
