import { createRequire } from "node:module";
import { DownpourError, messageOf } from "@downpour/errors";
import { quietAddonPath } from "@downpour/worker/setup";
import type * as tf from "@tensorflow/tfjs";
import { configureTensorflow } from "./config.ts";
import { installNativeOps } from "./native/native-ops.ts";

/** tfjs, whichever backend computes. */
export type Tensorflow = typeof tf;

/**
 * Loads tfjs-node with TensorFlow's own training ops, without TensorFlow's notices on the terminal. On the main
 * thread only: tfjs-node blocks its thread while it computes, and reads its settings from the process.
 *
 * @param threads threads of one op
 * @throws environment: libtensorflow is not set up on this machine
 */
export function loadTensorflow(threads = 1): Tensorflow {
  const tensorflow = loadStockTensorflow(threads);
  installNativeOps(tensorflow);
  return tensorflow;
}

/** As {@link loadTensorflow}, without the training ops: tfjs-node as its package has it, to compare with. */
export function loadStockTensorflow(threads: number): Tensorflow {
  configureTensorflow(threads);
  const require = createRequire(import.meta.url);
  try {
    const quiet = quietAddonPath();
    // Loads libtensorflow with standard error closed: its initializers print before any log level is read.
    if (quiet !== undefined) require(quiet);
    return require("@tensorflow/tfjs-node") as Tensorflow;
  } catch (error) {
    throw new DownpourError(
      "environment",
      `can't load TensorFlow: ${messageOf(error).split("\n")[0]}. Run "npm run setup" in the project, and ` +
        '"downpour doctor" to see what is missing',
      { cause: error },
    );
  }
}
