import type { KeyMatrix } from "@downpour/run-history";
import uPlot from "uplot";
import type { RunStore } from "../data/run-store.ts";
import { durationText, figureText } from "../format.ts";
import { seriesColours } from "../theme.ts";
import type { ChartSeries } from "./chart.tsx";
import type { PlacedMark } from "./marks.ts";

/** What curves are drawn over. */
export type Axis = "epoch" | "time";

type Column = (number | null)[];
type Table = [number[], ...Column[]];

export interface Curves {
  readonly data: uPlot.AlignedData;
  readonly series: readonly ChartSeries[];
}

type TableName = "progress" | "evaluations" | "skew";

/** A figure of a run's history. */
export interface Figure {
  readonly table: TableName;
  readonly column: "loss" | "accuracy" | "learningRate" | "examplesPerSecond" | "skew";
}

export function formatX(axis: Axis): (value: number) => string {
  return axis === "epoch" ? (value) => figureText(value, 3) : durationText;
}

/** A figure of several runs, each in its colour, the last one on top; `more` adds figures of the selected run in other looks. */
export function curvesOf(
  runs: readonly RunStore[],
  all: readonly RunStore[],
  axis: Axis,
  label: string,
  figure: Figure,
  more: readonly {
    readonly figure: Figure;
    readonly run: RunStore | undefined;
    readonly look: ChartSeries;
  }[] = [],
): Curves {
  const points = figure.table === "evaluations";
  const own = runs.map((run) => ({
    figure,
    run,
    look: {
      label: all.length > 1 ? run.info.name : label,
      colour: runColour(all.indexOf(run)),
      ...(points ? { points } : {}),
    },
  }));
  const others = more.flatMap(({ run, ...rest }) => (run === undefined ? [] : [{ run, ...rest }]));
  const parts = [...own, ...others];
  const tables = parts.map(({ run, figure: { table, column } }): Table => {
    const figures = run.history[table] as { means(name: string): Column };
    return sorted(xsOf(run, table, axis), figures.means(column));
  });
  return {
    data: tables.length === 0 ? [[]] : uPlot.join(tables as unknown as uPlot.AlignedData[]),
    series: parts.map(({ look }) => look),
  };
}

/** Colour of a run by its place in the list. */
export function runColour(index: number): string {
  return seriesColours[Math.max(0, index) % seriesColours.length] ?? "series-1";
}

/** Examples per second by worker. */
export function workerCurves(run: RunStore, axis: Axis): Curves {
  const { workers } = run.history;
  const ids = [...workers.keys].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const xs = matrixXs(run, workers, axis);
  const columns = ids.map((id) => workers.means(id).map((value) => (value === 0 ? null : value)));
  const series = ids.map((label, i) => ({ label, colour: runColour(i), width: ids.length > 12 ? 1 : 1.75 }));
  return { data: [xs, ...columns] as uPlot.AlignedData, series };
}

/** Where the buckets of a matrix begin. */
export function matrixXs(run: RunStore, matrix: KeyMatrix, axis: Axis): number[] {
  if (axis === "epoch") return ascending(matrix.epoch);
  return matrix.timeMs.map((timeMs) => (timeMs - startOf(run)) / 1000);
}

/** The last x of a run. */
export function lastX(run: RunStore, axis: Axis): number {
  return xsOf(run, "progress", axis).reduce<number>((most, x) => Math.max(most, x ?? 0), 0);
}

export function marksOf(run: RunStore | undefined, axis: Axis): PlacedMark[] {
  if (run === undefined) return [];
  return run.history.marks.map(({ epoch, timeMs, kind }) => ({
    kind,
    x: axis === "epoch" ? epoch : (timeMs - startOf(run)) / 1000,
  }));
}

function startOf(run: RunStore): number {
  return run.state?.startedMs ?? run.history.log[0]?.timeMs ?? 0;
}

function xsOf(run: RunStore, table: TableName, axis: Axis): Column {
  const figures = run.history[table] as { means(name: string): Column };
  if (axis === "epoch") return figures.means("epoch");
  const start = startOf(run);
  return figures.means("timeMs").map((timeMs) => (timeMs === null ? null : (timeMs - start) / 1000));
}

/** Rows with an x, in its order: a run that went back to a checkpoint passes the same epochs again. */
function sorted(xs: Column, ys: Column): Table {
  const rows = xs.flatMap((x, i): [number, number | null][] => (x === null ? [] : [[x, ys[i] ?? null]]));
  const isSorted = rows.every(([x], i) => i === 0 || x >= (rows[i - 1]?.[0] ?? x));
  if (!isSorted) rows.sort(([a], [b]) => a - b);
  return [rows.map(([x]) => x), rows.map(([, y]) => y)];
}

/** Epochs that never go back. */
function ascending(xs: readonly number[]): number[] {
  let most = Number.NEGATIVE_INFINITY;
  return xs.map((x) => {
    most = Math.max(most, x);
    return most;
  });
}
