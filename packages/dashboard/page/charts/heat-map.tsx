import type { KeyMatrix } from "@downpour/run-history";
import { useEffect, useRef, useState } from "preact/hooks";
import { useChanges } from "../data/observable.ts";
import { colour, theme } from "../theme.ts";
import { drawNever, drawSoon } from "./draw-queue.ts";

export interface HeatMapProps {
  readonly title: string;
  readonly summary: string;
  readonly matrix: KeyMatrix;
  /** Where a bucket begins, on the x axis. */
  readonly xs: readonly number[];
  readonly xEnd: number;
  readonly formatX: (value: number) => string;
}

const height = 220;
const left = 34;
const bottom = 20;

/** How often each staleness was, over the run: one column per moment, shades by share of that moment's updates. */
export function HeatMap({ title, summary, matrix, xs, xEnd, formatX }: HeatMapProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const [width, setWidth] = useState(300);
  useChanges([theme]);
  useEffect(() => {
    const parent = canvas.current?.parentElement;
    if (parent === null || parent === undefined) return undefined;
    const resizing = new ResizeObserver(() => setWidth(Math.max(120, parent.clientWidth)));
    resizing.observe(parent);
    return () => resizing.disconnect();
  }, []);
  // Its cells are many, and new ones come every few seconds only.
  useEffect(() => {
    const drawCells = () => {
      if (canvas.current !== null) draw(canvas.current, width, { matrix, xs, xEnd, formatX });
    };
    drawSoon(drawCells);
    return () => drawNever(drawCells);
  }, [width, theme.isDark, matrix, matrix.rows, formatX(xs.at(-1) ?? 0)]);
  return (
    <figure class="card chart" aria-label={title}>
      <figcaption>
        <h2>{title}</h2>
        <p class="summary">{summary}</p>
      </figcaption>
      <div class="plot" aria-hidden="true">
        <canvas ref={canvas} style={{ width: `${width}px`, height: `${height}px` }} />
      </div>
      <ul class="legend" aria-hidden="true">
        <li>
          share of updates: few <span class="ramp" /> many
        </li>
      </ul>
    </figure>
  );
}

type Drawn = Pick<HeatMapProps, "matrix" | "xs" | "xEnd" | "formatX">;

function draw(canvas: HTMLCanvasElement, width: number, { matrix, xs, xEnd, formatX }: Drawn): void {
  const ratio = devicePixelRatio;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  if (context === null) return;
  context.scale(ratio, ratio);
  const rows = rowsOf(matrix);
  const plotHeight = height - bottom - 6;
  const first = xs[0] ?? 0;
  const last = Math.max(xEnd, xs.at(-1) ?? 1, first + 1e-9);
  const toX = (x: number) => left + ((width - left - 8) * (x - first)) / (last - first);
  const cell = plotHeight / rows;
  context.fillStyle = colour("heat");
  for (let i = 0; i < xs.length; i++) {
    const x0 = toX(xs[i] ?? 0);
    const x1 = Math.max(x0 + 1, toX(xs[i + 1] ?? last));
    const counts = Array.from({ length: rows }, (_, tau) => matrix.sums(String(tau))[i] ?? 0);
    const total = counts.reduce((sum, count) => sum + count, 0);
    for (const [tau, count] of counts.entries()) {
      if (count === 0) continue;
      // The root shows what is rare, too.
      context.globalAlpha = 0.12 + 0.88 * Math.sqrt(count / total);
      context.fillRect(x0, 6 + plotHeight - (tau + 1) * cell, x1 - x0 + 0.5, Math.max(1, cell - 0.5));
    }
  }
  context.globalAlpha = 1;
  context.fillStyle = colour("text-soft");
  context.font = "12px system-ui, sans-serif";
  context.textAlign = "right";
  context.textBaseline = "middle";
  const step = Math.ceil(rows / 6);
  for (let tau = 0; tau < rows; tau += step) {
    context.fillText(String(tau), left - 6, 6 + plotHeight - (tau + 0.5) * cell);
  }
  context.textBaseline = "top";
  context.textAlign = "left";
  if (xs.length > 0) context.fillText(formatX(first), left, height - bottom + 4);
  context.textAlign = "right";
  if (xs.length > 0) context.fillText(formatX(last), width - 8, height - bottom + 4);
}

/** From staleness 0 to the largest that was seen, at least 4. */
function rowsOf(matrix: KeyMatrix): number {
  return Math.max(4, 1 + Math.max(0, ...matrix.keys.map(Number)));
}
