import type { AsynchronyChoice, JobEvent } from "@downpour/protocol";
import { describe, expect, it } from "vitest";
import { choiceText, eventText } from "./event-text.ts";

const choice: AsynchronyChoice = {
  workers: 4,
  momentumOfJob: 0.9,
  momentum: 0.6,
  rateFactor: 1,
  adapts: true,
  warmStartBatches: 86,
  clipNorm: "auto",
  consistency: "async",
  stalenessPolicy: "none",
  divergenceGuard: true,
};

describe("choiceText", () => {
  it("says what was chosen for the workers in one line", () => {
    expect(choiceText(choice)).toBe(
      "4 workers, async: momentum 0.9 -> 0.6, rate as it is, warm start of 86 batches; " +
        "gradients clipped; staleness policy none; divergence guard on",
    );
  });

  it("says what is switched off", () => {
    const off: AsynchronyChoice = {
      ...choice,
      momentum: 0.9,
      adapts: false,
      warmStartBatches: null,
      clipNorm: "off",
      divergenceGuard: false,
    };
    expect(choiceText(off)).toBe(
      "4 workers, async: momentum 0.9, rate as it is, both whatever the workers, no warm start; " +
        "gradients not clipped; staleness policy none; divergence guard off",
    );
  });

  it("leaves momentum out where the optimizer has none, and names one worker and a norm", () => {
    const sgd = { ...choice, workers: 1, momentumOfJob: 0, momentum: 0, rateFactor: 0.25, clipNorm: 5 };
    expect(choiceText(sgd)).toMatch(/^1 worker, async: rate times 0\.25, .* gradients clipped to norm 5;/);
  });
});

describe("eventText", () => {
  const plain = (event: JobEvent) => eventText(event) ?? "";
  const dropped = {
    type: "learningRateDropped",
    epoch: 1.2,
    factor: 0.5,
    learningRate: 0.025,
    revision: 3,
    reason: "divergence",
  } as const;
  const figures = { loss: 2.3, bestLoss: 0.21, refused: 0, window: 20, halvings: 1, halvingsMax: 5 };

  it("says what made the divergence guard halve the rate, and to what", () => {
    expect(plain({ ...dropped, divergence: figures })).toContain(
      "epoch 1.20  training diverges: the loss is 2.300 after a best of 0.210; learning rate halved to 0.025 " +
        "(1 of at most 5 in a row)",
    );
    expect(plain({ ...dropped, divergence: { ...figures, refused: 12 } })).toContain(
      "12 of the last 20 gradients were not finite",
    );
  });

  it("says of a plateau's drop only the rate", () => {
    const plateau = { ...dropped, reason: "plateau", divergence: null } as const;
    expect(plain(plateau)).toContain("epoch 1.20  learning rate drops to 0.025");
  });

  it("says what a change of workers does to momentum and rate", () => {
    const event = {
      type: "asynchronyChosen",
      reason: "workers",
      revision: 4,
      ...choice,
      workers: 3,
    } as const;
    expect(plain({ ...event, momentum: 0.7 })).toContain("3 workers now: momentum 0.9 -> 0.7, rate as it is");
  });

  it("has no line for the figures of servers, which come every few seconds", () => {
    expect(eventText({ type: "serverMetrics", final: false, skew: 0, servers: [] })).toBeUndefined();
  });
});
