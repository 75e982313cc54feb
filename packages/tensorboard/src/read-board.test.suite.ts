import { readdirSync } from "node:fs";
import { join } from "node:path";
import { readFrames } from "@downpour/datasets";
import { type BoardEvent, decodeEvent, type SummaryValue } from "./event-messages.ts";

/** Reads the events of a folder back, checksums verified, by the reader of TFRecord files. */
export async function readBoard(folder: string): Promise<BoardEvent[]> {
  const events: BoardEvent[] = [];
  for (const name of readdirSync(folder).sort()) {
    for await (const { data } of readFrames(join(folder, name))) events.push(decodeEvent(data));
  }
  return events;
}

/** Steps and values of a tag. */
export function valuesOf(events: readonly BoardEvent[], tag: string): [step: number, value: SummaryValue][] {
  return events.flatMap(({ step = 0, summary }) =>
    (summary?.value ?? [])
      .filter((value) => value.tag === tag)
      .map((value): [number, SummaryValue] => [step, value]),
  );
}

/** The same for scalars. */
export function scalarsOf(events: readonly BoardEvent[], tag: string): [step: number, value: number][] {
  return valuesOf(events, tag).map(([step, value]) => [
    step,
    "simpleValue" in value ? value.simpleValue : Number.NaN,
  ]);
}
