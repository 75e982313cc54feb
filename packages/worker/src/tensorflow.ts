import { createRequire } from "node:module";
import { DownpourError, messageOf } from "@downpour/errors";
import { quietAddonPath } from "@downpour/worker/setup";
import type * as tf from "@tensorflow/tfjs-node";
import { configureTensorflow } from "./config.ts";

export type Tensorflow = typeof tf;

/**
 * Loads tfjs-node, without TensorFlow's notices on the terminal. On the main thread only: tfjs-node blocks its
 * thread while it computes, and reads its settings from the process.
 *
 * @throws environment: libtensorflow is not set up on this machine
 */
export function loadTensorflow(): Tensorflow {
  configureTensorflow();
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
