import type { RunStore } from "../data/run-store.ts";
import { countText, figureText, percentText } from "../format.ts";
import { Chart } from "./chart.tsx";
import { type Axis, curvesOf, formatX, lastX, marksOf, matrixXs, workerCurves } from "./curves.ts";
import { HeatMap } from "./heat-map.tsx";

export interface CurveChartsProps {
  readonly selected: RunStore;
  /** Runs whose curves are laid over each other, the selected one among them. */
  readonly runs: readonly RunStore[];
  readonly all: readonly RunStore[];
  readonly axis: Axis;
}

/** All charts of a run. */
export function CurveCharts({ selected, runs, all, axis }: CurveChartsProps) {
  const shared = { marks: marksOf(selected, axis), formatX: formatX(axis) };
  const { history } = selected;
  const loss = curvesOf(runs, all, axis, "training", { table: "progress", column: "loss" }, [
    {
      figure: { table: "evaluations", column: "loss" },
      run: selected,
      look: { label: "validation", colour: "validation", points: true, dash: [4, 3] },
    },
  ]);
  const accuracy = curvesOf(runs, all, axis, "validation", { table: "evaluations", column: "accuracy" });
  const speed = curvesOf(runs, all, axis, "all workers", { table: "progress", column: "examplesPerSecond" });
  const rate = curvesOf(runs, all, axis, "learning rate", { table: "progress", column: "learningRate" });
  const skew = curvesOf(runs, all, axis, "skew", { table: "skew", column: "skew" });
  const workers = workerCurves(selected, axis);
  const trained = history.progress.means("loss");
  const accuracies = history.evaluations.means("accuracy");
  return (
    <>
      <Chart
        {...shared}
        {...loss}
        title="Loss"
        summary={`training ${figureText(last(trained))}, validation ${figureText(last(history.evaluations.means("loss")))}`}
        format={(value) => figureText(value)}
      />
      <Chart
        {...shared}
        {...accuracy}
        title="Accuracy"
        summary={`validation ${percentText(last(accuracies))}, best ${percentText(most(accuracies))}`}
        format={(value) => `${figureText(100 * value)} %`}
      />
      <Chart
        {...shared}
        {...speed}
        title="Examples per second"
        summary={`${countText(last(history.progress.means("examplesPerSecond")))} now`}
        format={tickText}
        fromZero
      />
      <Chart
        {...shared}
        {...workers}
        title="Examples per second, by worker"
        summary={`${workers.series.length} ${workers.series.length === 1 ? "worker" : "workers"} seen`}
        format={tickText}
        fromZero
        legend={workers.series.length <= 8}
      />
      <HeatMap
        title="Staleness"
        summary={stalenessText(selected)}
        matrix={history.staleness}
        xs={matrixXs(selected, history.staleness, axis)}
        xEnd={lastX(selected, axis)}
        formatX={shared.formatX}
      />
      <Chart
        {...shared}
        {...rate}
        title="Learning rate"
        summary={`${figureText(last(history.progress.means("learningRate")), 3)} now`}
        format={(value) => figureText(value, 2)}
        logarithmic
      />
      <Chart
        {...shared}
        {...skew}
        title="Skew: most minus fewest updates of a slice"
        summary={`${countText(last(history.skew.means("skew")))} now, ${countText(selected.state?.skewMax)} at most`}
        format={tickText}
        fromZero
      />
    </>
  );
}

/** Which staleness most updates have had lately, in words. */
function stalenessText({ history }: RunStore): string {
  const { staleness, progress } = history;
  const at = staleness.length - 1;
  if (at < 0) return "no updates yet";
  const counts = staleness.keys.map((tau) => ({ tau: Number(tau), count: staleness.sums(tau)[at] ?? 0 }));
  const common = counts.reduce((best, each) => (each.count > best.count ? each : best));
  const total = counts.reduce((sum, { count }) => sum + count, 0);
  const largest = counts.filter(({ count }) => count > 0).reduce((most, { tau }) => Math.max(most, tau), 0);
  const share = total === 0 ? 0 : common.count / total;
  const mean = figureText(last(progress.means("stalenessMean")), 2);
  return `most often ${common.tau} (${Math.round(100 * share)} %), mean ${mean}, largest ${largest}`;
}

/** Counts, and what lies between two of them on an axis. */
function tickText(value: number): string {
  return Number.isInteger(value) || value > 10 ? countText(value) : figureText(value, 2);
}

function last(column: readonly (number | null)[]): number | null {
  return column.findLast((value) => value !== null) ?? null;
}

function most(column: readonly (number | null)[]): number | null {
  return column.reduce(
    (best, value) => (value !== null && (best === null || value > best) ? value : best),
    null,
  );
}
