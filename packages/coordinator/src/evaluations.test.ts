import { checkJob } from "@downpour/job";
import { describe, expect, it } from "vitest";
import { Evaluations } from "./evaluations.ts";
import { applyDrop, initSchedule } from "./schedule.ts";

const alone = { momentum: 0.9, rateFactor: 1 };

function evaluationsOf(overrides: {
  training?: object;
  learningRate?: object;
  evaluation?: object;
}): Evaluations {
  const job = checkJob(
    {
      name: "test",
      data: { set: { name: "digits" } },
      model: { name: "lenet5" },
      optimizer: { name: "sgd" },
      ...overrides,
      learningRate: { initial: 0.1, ...overrides.learningRate },
    },
    "test",
  );
  return new Evaluations(job);
}

const figures = (evaluationId: number, loss: number, accuracy = 0.5, scheduleRevision = 1) => ({
  evaluationId,
  loss,
  accuracy,
  scheduleRevision,
});

describe("Evaluations", () => {
  it("has nothing due until it is asked, and again nothing once it is judged", () => {
    const evaluations = evaluationsOf({});
    expect(evaluations.due).toBeUndefined();
    evaluations.ask("validation", 1);
    expect(evaluations.due).toEqual({ evaluationId: 1, kind: "validation", epoch: 1 });
    evaluations.judge(figures(1, 0.5), initSchedule(alone), 0.1);
    expect(evaluations.due).toBeUndefined();
  });

  it("drops the rate when a known validation loss stops improving, by the job's factor", () => {
    const evaluations = evaluationsOf({
      learningRate: { plateau: { patience: 1, factor: 0.5, threshold: 0.01 } },
    });
    let schedule = initSchedule(alone);
    const rates: number[] = [];
    // Improves, improves, stays, stays (patience 1 is over: drop), stays, stays (drop).
    for (const [i, loss] of [1, 0.8, 0.8, 0.8, 0.8, 0.8].entries()) {
      evaluations.ask("validation", i + 1);
      const report = figures(i + 1, loss, 0.5, schedule.revision);
      const { drop } = evaluations.judge(report, schedule, 0.1 * schedule.dropFactor);
      if (drop !== undefined)
        schedule = applyDrop(schedule, drop.factor, { atEpoch: i + 1, reason: "plateau" });
      rates.push(0.1 * schedule.dropFactor);
    }
    expect(rates).toEqual([0.1, 0.1, 0.1, 0.05, 0.05, 0.025]);
  });

  it("leaves an evaluation that was pulled before the latest drop out of the plateau", () => {
    const evaluations = evaluationsOf({ learningRate: { plateau: { patience: 0, factor: 0.5 } } });
    const dropped = applyDrop(initSchedule(alone), 0.5, { atEpoch: 1, reason: "manual" });
    evaluations.ask("validation", 1);
    expect(evaluations.judge(figures(1, 1, 0.5, 2), dropped, 0.05).countsForPlateau).toBe(true);
    evaluations.ask("validation", 2);
    const stale = evaluations.judge(figures(2, 5, 0.5, 1), dropped, 0.05);
    expect([stale.countsForPlateau, stale.drop]).toEqual([false, undefined]);
  });

  it("stops at the target accuracy, and not below it", () => {
    const evaluations = evaluationsOf({ training: { targetAccuracy: 0.9 } });
    evaluations.ask("validation", 1);
    expect(evaluations.judge(figures(1, 1, 0.8999), initSchedule(alone), 0.1).stop).toBeUndefined();
    evaluations.ask("validation", 2);
    expect(evaluations.judge(figures(2, 1, 0.9), initSchedule(alone), 0.1).stop).toBe("targetAccuracy");
  });

  it("stops early after as many evaluations without improvement as the job allows", () => {
    const evaluations = evaluationsOf({ training: { earlyStopping: { patience: 2 } } });
    const stops = [1, 0.5, 0.6, 0.7].map((loss, i) => {
      evaluations.ask("validation", i + 1);
      return evaluations.judge(figures(i + 1, loss), initSchedule(alone), 0.1).stop;
    });
    expect(stops).toEqual([undefined, undefined, undefined, "earlyStopping"]);
  });

  it("keeps the best by the monitored figure", () => {
    const evaluations = evaluationsOf({ evaluation: { monitor: "accuracy" } });
    const best = [0.7, 0.9, 0.8].map((accuracy, i) => {
      evaluations.ask("validation", i + 1);
      return evaluations.judge(figures(i + 1, 1, accuracy), initSchedule(alone), 0.1).best;
    });
    expect(best).toEqual([true, true, false]);
    expect(evaluations.bestEpoch).toBe(2);
  });

  it("counts a report once, and answers the second time as the first", () => {
    const evaluations = evaluationsOf({ learningRate: { plateau: { patience: 0, factor: 0.5 } } });
    evaluations.ask("validation", 1);
    evaluations.judge(figures(1, 1), initSchedule(alone), 0.1);
    evaluations.ask("validation", 2);
    const first = evaluations.judge(figures(2, 2), initSchedule(alone), 0.1);
    const second = evaluations.judge(figures(2, 2), initSchedule(alone), 0.1);
    expect(first.drop).toBeDefined();
    expect(second).toEqual({ ...first, repeated: true, drop: undefined, stop: undefined });
  });

  it("judges an evaluation that a newer one overtook by its own epoch, and leaves the newer one due", () => {
    const evaluations = evaluationsOf({});
    evaluations.ask("validation", 1);
    evaluations.ask("final", 2);
    expect(evaluations.judge(figures(1, 1), initSchedule(alone), 0.1).evaluation.epoch).toBe(1);
    expect(evaluations.due).toEqual({ evaluationId: 2, kind: "final", epoch: 2 });
    evaluations.judge(figures(2, 0.5), initSchedule(alone), 0.1);
    expect(evaluations.due?.kind).toBe("final");
    evaluations.close();
    expect(evaluations.due).toBeUndefined();
  });

  it("refuses a report of an evaluation that nobody asked for", () => {
    const evaluations = evaluationsOf({});
    expect(() => evaluations.judge(figures(9, 1), initSchedule(alone), 0.1)).toThrow(
      /evaluation 9 is not open/,
    );
  });
});
