import { setImmediate } from "node:timers/promises";
import { DownpourError } from "@downpour/errors";
import type { SourceDataset } from "../assemble.ts";
import type { DigitsSpec, LoadOptions, Split } from "../dataset.ts";
import { sidePixels } from "./draw.ts";
import { type DigitStream, drawExamplesInPlace } from "./generate.ts";

const trainCountDefault = 20_000;
const testCountDefault = 2_000;
const countMax = 1_000_000;
const seedDefault = 1;

/** Images drawn before other work gets its turn: about 60 ms. */
const imagesPerTurn = 1_000;

/** A spec with its defaults filled in, and checked. */
export interface DigitsPlan {
  readonly trainCount: number;
  readonly testCount: number;
  readonly seed: number;
}

/**
 * Fills the defaults in.
 *
 * @throws DownpourError `usage` for a count or seed out of range
 */
export function planDigits(spec: DigitsSpec): DigitsPlan {
  const plan = {
    trainCount: spec.trainCount ?? trainCountDefault,
    testCount: spec.testCount ?? testCountDefault,
    seed: spec.seed ?? seedDefault,
  };
  requireCount("trainCount", plan.trainCount);
  requireCount("testCount", plan.testCount);
  if (!Number.isSafeInteger(plan.seed)) {
    throw new DownpourError(
      "usage",
      `digits: seed must be an integer of at most 53 bits, but is ${plan.seed}`,
      {
        facts: { seed: plan.seed },
      },
    );
  }
  return plan;
}

/**
 * Draws the digits: 28x28 grey, ten classes, labels uniform. Takes about 60 microseconds an image, and lets other
 * work have its turn in between.
 */
export async function drawDigits(
  plan: DigitsPlan,
  onProgress: LoadOptions["onProgress"],
): Promise<SourceDataset> {
  return {
    name: "digits",
    height: sidePixels,
    width: sidePixels,
    channels: 1,
    classNames: Array.from("0123456789"),
    train: await drawSplit(plan.seed, "train", plan.trainCount, onProgress),
    test: await drawSplit(plan.seed, "test", plan.testCount, onProgress),
  };
}

async function drawSplit(
  seed: number,
  stream: DigitStream,
  exampleCount: number,
  onProgress: LoadOptions["onProgress"],
): Promise<Split> {
  const pixelsPerImage = sidePixels * sidePixels;
  const images = new Uint8Array(exampleCount * pixelsPerImage);
  const labels = new Uint8Array(exampleCount);
  for (let begin = 0; begin < exampleCount; begin += imagesPerTurn) {
    const end = Math.min(begin + imagesPerTurn, exampleCount);
    drawExamplesInPlace(images, labels, { seed, stream, begin, end });
    onProgress?.({
      what: `digits (${stream})`,
      doneBytes: end * pixelsPerImage,
      totalBytes: images.length,
    });
    await setImmediate();
  }
  return { exampleCount, labels, pixels: { kind: "memory", bytes: images } };
}

function requireCount(name: string, value: number): void {
  if (Number.isInteger(value) && value >= 1 && value <= countMax) return;
  throw new DownpourError(
    "usage",
    `digits: ${name} must be an integer from 1 to ${countMax}, but is ${value}`,
    {
      facts: { [name]: value },
    },
  );
}
