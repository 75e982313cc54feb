import type { Job } from "@downpour/job";
import { buildModel, type InputShape, memoryEstimate, modelWeights } from "@downpour/models";
import { type Manifest, makeManifest } from "@downpour/parameter-vector";
import * as tf from "@tensorflow/tfjs";
import type { Activations } from "./job-memory.ts";

/** The manifest of a job's model on images of this shape, and what a batch of them takes in it. */
export async function modelMemory(
  job: Job,
  input: InputShape,
): Promise<{ manifest: Manifest; activations: Activations }> {
  // The model is never run: advice to install a faster backend would be out of place.
  tf.enableProdMode();
  const { model } = await buildModel(job.model, input, job.seed);
  try {
    const manifest = makeManifest(
      modelWeights(model).map(({ name, shape, role, trainable }) => ({
        ...{ name, shape, role, trainable },
        decayed: role === "weight",
      })),
    );
    return {
      manifest,
      activations: {
        training: memoryEstimate(model, job.data.batchSize).activationBytes,
        // A forward pass has no gradients, which are half of it.
        evaluation: memoryEstimate(model, job.evaluation.batchSize).activationBytes / 2,
      },
    };
  } finally {
    model.dispose();
  }
}
