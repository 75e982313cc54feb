import { describe, expect, it } from "vitest";
import { DivergenceGuard } from "./divergence-guard.ts";

/** Uniform noise in [-1, 1), the same each time: a linear congruential generator. */
function noise(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
}

/** Feeds losses (undefined: refused). Returns the batches at which something other than `fine` came. */
function run(guard: DivergenceGuard, losses: Iterable<number | undefined>) {
  const verdicts: { at: number; kind: "halve" | "fail"; halvings: number }[] = [];
  let at = 0;
  for (const loss of losses) {
    const verdict = guard.observe(loss);
    if (verdict.kind !== "fine")
      verdicts.push({ at, kind: verdict.kind, halvings: verdict.figures.halvings });
    at += 1;
  }
  return verdicts;
}

const series = (count: number, loss: (i: number) => number | undefined) =>
  Array.from({ length: count }, (_, i) => loss(i));

/** Falls from ln(10) towards a level, as LeNet-5 on MNIST does. */
const learning = (level: number, batches: number) =>
  series(batches, (i) => level + (Math.log(10) - level) * Math.exp(-i / 40));

describe("DivergenceGuard", () => {
  it("says nothing while a loss falls, nor about noise around it", () => {
    const next = noise(7);
    const noisy = learning(0.05, 3000).map((loss) => Math.max(0.001, (loss ?? 0) * (1 + 0.8 * next())));
    expect(run(new DivergenceGuard(64), noisy)).toEqual([]);
  });

  it("says nothing about a loss that stays where it is: that is no divergence", () => {
    const next = noise(3);
    expect(
      run(
        new DivergenceGuard(64),
        series(2000, () => Math.log(10) + 0.1 * next()),
      ),
    ).toEqual([]);
  });

  it("says nothing about noise of single examples, which is as large as the loss", () => {
    const next = noise(11);
    const single = series(20_000, (i) => Math.max(0, 2.3 - i * 2e-5 + 1.5 * next()));
    expect(run(new DivergenceGuard(1), single)).toEqual([]);
  });

  it("says nothing about a single batch, however large its loss", () => {
    const losses = [...learning(0.1, 400), 1e30, ...series(200, () => 0.1)];
    expect(run(new DivergenceGuard(64), losses)).toEqual([]);
  });

  it("halves within a few batches of a collapse to the loss of guessing", () => {
    const losses = [...learning(0.1, 400), ...series(20, () => Math.log(10))];
    // F is about 2.28, so the bar is 0.1 + 0.57. The mean 0.1 + 2.2 (1 - 0.95^n) passes 0.67 with n = 6.
    expect(run(new DivergenceGuard(64), losses)).toEqual([{ at: 405, kind: "halve", halvings: 1 }]);
  });

  it("sees a collapse from a loss that had not come far: most of what was learned is lost", () => {
    const losses = [...learning(1.5, 400), ...series(60, () => Math.log(10))];
    const [verdict] = run(new DivergenceGuard(64), losses);
    // Twice the best, 3.0, is never reached.
    expect(verdict).toMatchObject({ kind: "halve", halvings: 1 });
    expect(verdict?.at).toBeLessThan(440);
  });

  it("halves when the loss climbs slowly", () => {
    const losses = [...learning(0.2, 400), ...series(1000, (i) => 0.2 + i * 0.002)];
    const [verdict] = run(new DivergenceGuard(64), losses);
    // The bar of 0.2 + 0.57 is reached by the loss itself 285 batches on, by its mean about 19 later.
    expect(verdict?.at).toBeGreaterThan(400 + 285);
    expect(verdict?.at).toBeLessThan(400 + 330);
  });

  it("halves when the loss explodes from the beginning", () => {
    const [verdict] = run(
      new DivergenceGuard(64),
      series(30, (i) => 2.3 * 1.5 ** i),
    );
    expect(verdict).toMatchObject({ at: 19, kind: "halve" });
  });

  it("halves once for a divergence from which training recovers, and counts the next one anew", () => {
    const guard = new DivergenceGuard(64);
    const collapse = series(10, () => Math.log(10));
    const recovery = learning(0.1, 400);
    const losses = [...learning(0.1, 400), ...collapse, ...recovery, ...collapse, ...recovery];
    expect(run(guard, losses)).toEqual([
      { at: 405, kind: "halve", halvings: 1 },
      { at: 815, kind: "halve", halvings: 1 },
    ]);
  });

  it("waits for a loss that is still too high but falls", () => {
    const slowRecovery = series(1000, (i) => 0.1 + 2.2 * Math.exp(-i / 150));
    const losses = [...learning(0.1, 400), ...series(20, () => Math.log(10)), ...slowRecovery];
    expect(run(new DivergenceGuard(64), losses)).toEqual([{ at: 405, kind: "halve", halvings: 1 }]);
  });

  it("fails after five halvings that did not help, a cooldown apart", () => {
    const losses = [...learning(0.1, 400), ...series(600, () => Math.log(10))];
    const verdicts = run(new DivergenceGuard(64), losses);
    expect(verdicts.map(({ kind, halvings }) => [kind, halvings])).toEqual([
      ["halve", 1],
      ["halve", 2],
      ["halve", 3],
      ["halve", 4],
      ["halve", 5],
      ["fail", 5],
    ]);
    expect(verdicts.map(({ at }) => at)).toEqual([405, 506, 607, 708, 809, 910]);
  });

  it("halves for a burst of refused batches, naming how many, and fails when it does not end", () => {
    const guard = new DivergenceGuard(64);
    for (const loss of learning(0.1, 100)) guard.observe(loss);
    const verdicts = series(600, () => undefined).map((loss) => guard.observe(loss));
    const said = verdicts.flatMap((verdict) => (verdict.kind === "fine" ? [] : [verdict]));
    expect(said).toHaveLength(6);
    expect(said[0]).toMatchObject({ kind: "halve", figures: { refused: 10, window: 20, halvings: 1 } });
    expect(said[5]).toMatchObject({ kind: "fail", figures: { refused: 20, halvings: 5, halvingsMax: 5 } });
  });

  it("takes a loss that is not finite for a refused batch, and lets a few of them pass", () => {
    const losses = learning(0.1, 400).map((loss, i) => (i % 3 === 0 ? Number.NaN : loss));
    expect(run(new DivergenceGuard(64), losses)).toEqual([]);
  });

  it("goes on from a snapshot as it would have without", () => {
    const losses = [...learning(0.1, 400), ...series(700, () => Math.log(10))];
    const whole = new DivergenceGuard(48);
    let stored = new DivergenceGuard(48);
    for (const loss of losses) {
      stored = DivergenceGuard.restore(JSON.parse(JSON.stringify(stored.snapshot())));
      expect(stored.observe(loss)).toEqual(whole.observe(loss));
    }
  });
});
