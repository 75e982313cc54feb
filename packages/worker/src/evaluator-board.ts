import { join } from "node:path";
import { elementCount } from "@downpour/parameter-vector";
import {
  boardFolder,
  boardRuns,
  EventFile,
  histogramOf,
  type SummaryValue,
  text,
} from "@downpour/tensorboard";
import type { InputPipeline } from "./input-pipeline.ts";
import type { Network } from "./network.ts";
import { drawSheet, type Sample, samplesTable } from "./sample-sheet.ts";

/** Images of the validation split that are shown at each evaluation: always the same, so that progress is seen. */
const samplesMax = 16;

export interface EvaluatorBoardOptions {
  readonly runDirectory: string;
  readonly network: Network;
  readonly input: InputPipeline;
  /** Examples that one read may ask for. */
  readonly readMax: number;
}

/** What an evaluator writes for TensorBoard: histograms of all tensors, and sample images with predictions. */
export class EvaluatorBoard {
  readonly #options: EvaluatorBoardOptions;
  #file: EventFile | undefined;

  constructor(options: EvaluatorBoardOptions) {
    this.#options = options;
  }

  /** Writes the network's weights as they are. @throws what the file system says */
  async write(step: number): Promise<void> {
    const nowMs = Date.now();
    this.#file ??= new EventFile(join(this.#options.runDirectory, boardFolder, boardRuns.evaluator), nowMs);
    this.#file.add(step, [...this.#weights(), ...(await this.#samples())], nowMs);
  }

  close(): void {
    this.#file?.close();
    this.#file = undefined;
  }

  #weights(): SummaryValue[] {
    const { manifest, weights } = this.#options.network;
    return manifest.tensors.flatMap(({ name, offset, shape }) => {
      const histo = histogramOf(weights.subarray(offset, offset + elementCount(shape)));
      return histo === undefined ? [] : [{ tag: `weights/${name}`, histo }];
    });
  }

  async #samples(): Promise<SummaryValue[]> {
    const { network, input, readMax } = this.#options;
    const { classNames, data } = input.facts;
    const end = Math.min(samplesMax, readMax, data.validationExamples);
    const batch = await input.read({ kind: "run", split: "validation", begin: 0, end });
    if (batch.count === 0) return [];
    const probabilities = await network.probabilities(batch);
    const length = batch.images.length / batch.count;
    const samples = Array.from({ length: batch.count }, (_, i): Sample => {
      const row = (values: Float32Array) =>
        values.subarray(i * classNames.length, (i + 1) * classNames.length);
      const told = row(probabilities);
      const best = indexOfLargest(told);
      return {
        values: batch.images.slice(i * length, (i + 1) * length),
        label: classNames[indexOfLargest(row(batch.targets))] ?? "",
        predicted: classNames[best] ?? "",
        probability: told[best] ?? 0,
      };
    });
    const { width, height, png } = await drawSheet(samples, input.facts);
    const image = { width, height, colorspace: 3, encodedImageString: png };
    return [{ tag: "samples", image }, text("predictions", samplesTable(samples))];
  }
}

function indexOfLargest(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if ((values[i] ?? 0) > (values[best] ?? 0)) best = i;
  return best;
}
