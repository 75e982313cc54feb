import type { Mark, MarkKind } from "@downpour/run-history";
import type uPlot from "uplot";
import { colour } from "../theme.ts";

interface Look {
  readonly label: string;
  readonly colour: string;
  readonly glyph: string;
  readonly dash: readonly number[];
  readonly width: number;
}

/** How each kind is marked: by colour, dash and sign. */
export const looks: Readonly<Record<MarkKind, Look>> = {
  drop: { label: "learning rate drops", colour: "mark-drop", glyph: "▼", dash: [6, 3], width: 2 },
  checkpoint: { label: "checkpoint", colour: "mark-checkpoint", glyph: "■", dash: [], width: 1 },
  joined: { label: "member joins", colour: "mark-joined", glyph: "+", dash: [1, 3], width: 1 },
  left: { label: "member leaves", colour: "mark-left", glyph: "–", dash: [1, 3], width: 1 },
  draining: { label: "drain asked for", colour: "mark-left", glyph: "↓", dash: [1, 3], width: 1 },
  died: { label: "member dies", colour: "mark-died", glyph: "✕", dash: [3, 3], width: 2 },
  paused: { label: "paused", colour: "mark-paused", glyph: "‖", dash: [2, 2], width: 1 },
  resumed: { label: "resumed", colour: "mark-paused", glyph: "▶", dash: [2, 2], width: 1 },
};

/** A mark and its place on the x axis. */
export interface PlacedMark {
  readonly x: number;
  readonly kind: MarkKind;
}

/** The kinds that are there, and how often. */
export function kindsOf(marks: readonly Mark[]): [MarkKind, number][] {
  const counts = new Map<MarkKind, number>();
  for (const { kind } of marks) counts.set(kind, (counts.get(kind) ?? 0) + 1);
  return (Object.keys(looks) as MarkKind[]).flatMap((kind) => {
    const count = counts.get(kind);
    return count === undefined ? [] : [[kind, count] as [MarkKind, number]];
  });
}

/** Marks of one kind that would be drawn closer than this lie on each other. */
const spacingMinPx = 2;

/** Draws the marks into a chart. */
export function drawMarks(plot: uPlot, marks: readonly PlacedMark[]): void {
  const { ctx, bbox } = plot;
  const scale = devicePixelRatio;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, 0, bbox.width, bbox.top + bbox.height);
  ctx.clip();
  ctx.font = `${11 * scale}px system-ui, sans-serif`;
  ctx.textAlign = "center";
  ctx.textBaseline = "bottom";
  const lastByKind = new Map<MarkKind, number>();
  for (const { x, kind } of marks) {
    const at = Math.round(plot.valToPos(x, "x", true));
    if (at < bbox.left || at > bbox.left + bbox.width) continue;
    if (at - (lastByKind.get(kind) ?? Number.NEGATIVE_INFINITY) < spacingMinPx * scale) continue;
    lastByKind.set(kind, at);
    const look = looks[kind];
    ctx.strokeStyle = colour(look.colour);
    ctx.fillStyle = ctx.strokeStyle;
    ctx.lineWidth = look.width * scale;
    ctx.setLineDash(look.dash.map((length) => length * scale));
    ctx.beginPath();
    ctx.moveTo(at, bbox.top);
    ctx.lineTo(at, bbox.top + bbox.height);
    ctx.stroke();
    ctx.fillText(look.glyph, at, bbox.top - scale);
  }
  ctx.restore();
}
