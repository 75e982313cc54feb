import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useChanges } from "../data/observable.ts";
import { colour, theme } from "../theme.ts";
import { drawNever, drawSoon } from "./draw-queue.ts";
import { drawMarks, type PlacedMark } from "./marks.ts";

export interface ChartSeries {
  readonly label: string;
  /** A colour of the style sheet: "series-1". */
  readonly colour: string;
  readonly width?: number;
  readonly dash?: number[];
  /** Points, also where a line would do. */
  readonly points?: boolean;
  /** Steps instead of slopes. */
  readonly stepped?: boolean;
}

export interface ChartProps {
  readonly title: string;
  /** What the chart says now, in words. */
  readonly summary: string;
  /** x, then one column per series. */
  readonly data: uPlot.AlignedData;
  readonly series: readonly ChartSeries[];
  readonly marks: readonly PlacedMark[];
  readonly format: (value: number) => string;
  readonly formatX: (value: number) => string;
  readonly logarithmic?: boolean;
  /** The y axis begins at 0. */
  readonly fromZero?: boolean;
  readonly height?: number;
  /** A legend with values; without one, the series under the pointer is named. */
  readonly legend?: boolean;
}

const cursorSync = "runs";

/** A chart of lines over the run, with its marks. Drag to zoom, double-click to see all. */
export function Chart(props: ChartProps) {
  const { title, summary, series, marks, legend = true } = props;
  const holder = useRef<HTMLDivElement>(null);
  const values = useRef<(HTMLElement | null)[]>([]);
  const under = useRef<HTMLParagraphElement>(null);
  const plot = useRef<Plot>(undefined);
  useChanges([theme]);
  const look = JSON.stringify([series, theme.isDark, props.logarithmic]);

  useEffect(() => {
    if (holder.current === null) return undefined;
    const made = new Plot(holder.current, props, { values: values.current, under: under.current });
    plot.current = made;
    return () => made.destroy();
  }, [look]);
  useEffect(() => plot.current?.update(props));

  const kinds = marks.map(({ kind }) => kind).join(" ");
  return (
    <figure class="card chart" data-marks={kinds} aria-label={title}>
      <figcaption>
        <h2>{title}</h2>
        <p class="summary">{summary}</p>
      </figcaption>
      <div class="plot" ref={holder} aria-hidden="true" />
      {legend ? (
        <ul class="legend" aria-hidden="true">
          {series.map(({ label, colour: name }, i) => (
            <li key={label}>
              <span class="swatch" style={{ background: `var(--${name})` }} />
              {label}{" "}
              <b
                ref={(element) => {
                  values.current[i] = element;
                }}
              />
            </li>
          ))}
        </ul>
      ) : (
        <p class="legend under" ref={under} aria-hidden="true" />
      )}
    </figure>
  );
}

interface Readouts {
  readonly values: (HTMLElement | null)[];
  readonly under: HTMLElement | null;
}

/** A uPlot and what of it changes. */
class Plot {
  readonly #plot: uPlot;
  readonly #resizing: ResizeObserver;
  readonly #readouts: Readouts;
  #props: ChartProps;
  #zoomed = false;
  #visible = true;
  readonly #seeing: IntersectionObserver;

  constructor(holder: HTMLElement, props: ChartProps, readouts: Readouts) {
    this.#props = props;
    this.#readouts = readouts;
    const size = () => ({ width: Math.max(120, holder.clientWidth), height: props.height ?? 220 });
    this.#plot = new uPlot({ ...this.#options(), ...size() }, props.data, holder);
    this.#resizing = new ResizeObserver(() => this.#plot.setSize(size()));
    this.#resizing.observe(holder);
    this.#plot.over.addEventListener("dblclick", () => {
      this.#zoomed = false;
    });
    // What nobody sees is not drawn until it is about to be seen.
    const nearby = { rootMargin: "800px 0px" };
    this.#seeing = new IntersectionObserver(([entry]) => {
      this.#visible = entry?.isIntersecting ?? true;
      if (this.#visible) drawSoon(this.#draw);
    }, nearby);
    this.#seeing.observe(holder);
  }

  update(props: ChartProps): void {
    this.#props = props;
    if (this.#visible) drawSoon(this.#draw);
  }

  destroy(): void {
    this.#resizing.disconnect();
    this.#seeing.disconnect();
    drawNever(this.#draw);
    this.#plot.destroy();
  }

  readonly #draw = (): void => {
    const plot = this.#plot;
    const { min, max } = plot.scales.x ?? {};
    if (this.#zoomed && typeof min === "number" && typeof max === "number") {
      plot.batch(() => {
        plot.setData(this.#props.data, false);
        plot.setScale("x", { min, max });
      });
    } else plot.setData(this.#props.data);
    this.#read(plot);
  };

  #options(): Omit<uPlot.Options, "width" | "height"> {
    const { series, legend = true, logarithmic = false, fromZero = false } = this.#props;
    const axis = {
      stroke: colour("text-soft"),
      grid: { stroke: colour("line"), width: 1 },
      ticks: { show: false },
    };
    const yAxis = {
      ...axis,
      size: 58,
      values: (_: uPlot, splits: number[]) =>
        splits.map((value) => (value === null ? "" : this.#props.format(value))),
    };
    return {
      legend: { show: false },
      padding: [16, 10, 0, 0],
      cursor: {
        sync: { key: cursorSync, setSeries: false },
        points: { size: 6 },
        drag: { x: true, y: false },
        ...(legend ? {} : { focus: { prox: 24 } }),
      },
      ...(legend ? {} : { focus: { alpha: 0.25 } }),
      scales: {
        x: { time: false },
        y: logarithmic ? { distr: 3 } : { range: (_, low, high) => rangeOf(low, high, fromZero) },
      },
      axes: [
        {
          ...axis,
          values: (_, splits) => splits.map((value) => this.#props.formatX(value)),
          space: 70,
          size: 30,
        },
        yAxis,
      ],
      series: [{}, ...series.map(seriesOptions)],
      hooks: {
        draw: [(plot) => drawMarks(plot, this.#props.marks)],
        setCursor: [(plot) => this.#read(plot)],
        setSeries: [(_, index) => this.#name(index)],
        setSelect: [(plot) => this.#zoom(plot)],
      },
    };
  }

  #zoom(plot: uPlot): void {
    if (plot.select.width > 0) this.#zoomed = true;
  }

  /** Values under the pointer, or the latest ones. */
  #read(plot: uPlot): void {
    const { idx } = plot.cursor;
    for (const [i, element] of this.#readouts.values.entries()) {
      const column = plot.data[i + 1];
      if (element === null || column === undefined) continue;
      const value = typeof idx === "number" ? nearest(column, idx) : latest(column);
      element.textContent = value === undefined ? "" : this.#props.format(value);
    }
  }

  #name(index: number | null): void {
    const { under } = this.#readouts;
    if (under === null) return;
    const series = index === null ? undefined : this.#props.series[index - 1];
    const column = index === null ? undefined : this.#plot.data[index];
    const at = this.#plot.cursor.idx;
    const value = column === undefined || typeof at !== "number" ? undefined : nearest(column, at);
    under.textContent =
      series === undefined ? "" : `${series.label} ${value === undefined ? "" : this.#props.format(value)}`;
  }
}

type Column = uPlot.AlignedData[number];

function latest(column: Column): number | undefined {
  for (let i = column.length - 1; i >= 0; i--) {
    const value = column[i];
    if (typeof value === "number") return value;
  }
  return undefined;
}

/** The value there, or the one before. */
function nearest(column: Column, index: number): number | undefined {
  for (let i = index; i >= 0; i--) {
    const value = column[i];
    if (typeof value === "number") return value;
  }
  return undefined;
}

function rangeOf(low: number | null, high: number | null, fromZero: boolean): [number, number] {
  if (low === null || high === null) return [0, 1];
  const bottom = fromZero ? 0 : low;
  const room = 0.06 * (high - bottom) || Math.max(Math.abs(high) * 0.1, 0.01);
  return [fromZero ? 0 : bottom - room, high + room];
}

function seriesOptions({
  label,
  colour: name,
  width = 1.75,
  dash,
  points = false,
  stepped = false,
}: ChartSeries): uPlot.Series {
  const stroke = colour(name);
  const stepping = stepped ? uPlot.paths.stepped?.({ align: 1 }) : undefined;
  return {
    label,
    stroke,
    width,
    spanGaps: true,
    points: { show: points, size: 6, fill: stroke, stroke },
    ...(dash === undefined ? {} : { dash }),
    ...(stepping === undefined ? {} : { paths: stepping }),
  };
}
