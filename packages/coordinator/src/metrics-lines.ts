import type { JobEvent } from "@downpour/protocol";

/** A line of `metrics.jsonl`: the figures of one moment, flat, for those who plot and compare runs. */
export type MetricsLine =
  | {
      readonly kind: "training";
      readonly timeMs: number;
      /** Batches trained on. */
      readonly step: number;
      readonly epoch: number;
      readonly examples: number;
      readonly examplesPerSecond: number;
      readonly loss: number | null;
      readonly learningRate: number;
      readonly stalenessMean: number;
      readonly stalenessMax: number;
      readonly workers: number;
      readonly refusedBatches: number;
    }
  | {
      readonly kind: "validation";
      readonly timeMs: number;
      readonly step: number;
      readonly epoch: number;
      /** null when it is not finite. */
      readonly loss: number | null;
      readonly accuracy: number;
      readonly best: boolean;
    };

/** The line of an event; undefined for events without figures of training. */
export function metricsLine(
  timeMs: number,
  event: JobEvent,
  batchesPerEpoch: number,
): MetricsLine | undefined {
  if (event.type === "evaluated") {
    const { epoch, loss, accuracy, best } = event;
    const step = Math.round(epoch * batchesPerEpoch);
    return { kind: "validation", timeMs, step, epoch, loss, accuracy, best };
  }
  if (event.type !== "progress" || event.loss === null) return undefined;
  const { epoch, examplesPerSecond, loss, learningRate, stalenessMean, stalenessMax } = event;
  return {
    ...{ kind: "training", timeMs, step: Math.round(epoch * batchesPerEpoch), epoch },
    ...{
      examples: event.examplesCounted,
      examplesPerSecond,
      loss,
      learningRate,
      stalenessMean,
      stalenessMax,
    },
    ...{ workers: event.workers, refusedBatches: event.refusedBatches },
  };
}
