import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { type BoardEvent, encodeEvent, type SummaryValue } from "./event-messages.ts";
import { frameRecord } from "./record.ts";

let filesMade = 0;

/**
 * An event file of TensorBoard, written record by record. A folder is one curve of TensorBoard, and has one writer
 * at a time: TensorBoard follows the newest file of a folder.
 */
export class EventFile {
  readonly path: string;
  readonly #file: number;

  /** Makes the folder and the file. @throws what the file system says */
  constructor(folder: string, nowMs: number) {
    mkdirSync(folder, { recursive: true });
    // As other writers name them; TensorBoard looks for "tfevents", and reads files in the order of their names.
    const seconds = String(Math.floor(nowMs / 1000)).padStart(10, "0");
    this.path = join(folder, `events.out.tfevents.${seconds}.${hostname()}.${process.pid}.${filesMade++}`);
    this.#file = openSync(this.path, "a");
    this.#write({ wallTime: nowMs / 1000, fileVersion: "brain.Event:2" });
  }

  /** Appends the values of a step. @throws what the file system says */
  add(step: number, values: readonly SummaryValue[], nowMs: number): void {
    if (values.length === 0) return;
    this.#write({ wallTime: nowMs / 1000, step, summary: { value: values } });
  }

  close(): void {
    closeSync(this.#file);
  }

  #write(event: BoardEvent): void {
    writeSync(this.#file, frameRecord(encodeEvent(event)));
  }
}

export function scalar(tag: string, value: number): SummaryValue {
  return { tag, simpleValue: value };
}

/** A text, of which TensorBoard shows the Markdown. */
export function text(tag: string, markdown: string): SummaryValue {
  return {
    tag,
    metadata: { pluginData: { pluginName: "text" } },
    tensor: { dtype: 7, tensorShape: { dim: [{ size: 1 }] }, stringVal: [Buffer.from(markdown)] },
  };
}
