/** How far something is that takes long: a download, the measuring of a split. */
export interface TaskProgress {
  readonly what: string;
  readonly done: number;
  /** Undefined where nobody knows. */
  readonly total?: number | undefined;
  readonly unit: "bytes" | "images" | "examples";
}

const barWidth = 24;

/** One line with a bar, at most `columns` wide: "fetching x  ██████░░░░  60 %  6.0 of 10.0 MB". */
export function taskText({ what, done, total, unit }: TaskProgress, columns: number): string {
  const parts = total === undefined || total <= 0 ? [] : [bar(done / total), percent(done / total)];
  const line = [what, ...parts, amountText(done, total, unit)].join("  ");
  return line.length <= columns ? line : `${line.slice(0, Math.max(0, columns - 1))}…`;
}

function bar(share: number): string {
  const full = Math.round(Math.min(1, Math.max(0, share)) * barWidth);
  return "█".repeat(full) + "░".repeat(barWidth - full);
}

function percent(share: number): string {
  return `${Math.floor(Math.min(1, Math.max(0, share)) * 100)} %`.padStart(5);
}

function amountText(done: number, total: number | undefined, unit: TaskProgress["unit"]): string {
  const number = (count: number) =>
    unit === "bytes" ? (count / 1e6).toFixed(1) : count.toLocaleString("en");
  const of = total === undefined ? "" : ` of ${number(total)}`;
  return `${number(done)}${of} ${unit === "bytes" ? "MB" : unit}`;
}

/** From when on a task is spoken of, and how often where lines are not overwritten. */
const quietMs = 2000;

/** Decides when a task is spoken of: not before it has taken two seconds, and not more often than asked. */
export class TaskClock {
  readonly #intervalMs: number;
  #what: string | undefined;
  #startedMs = 0;
  #spokenMs = Number.NEGATIVE_INFINITY;

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs;
  }

  isDue({ what }: TaskProgress, nowMs: number): boolean {
    if (what !== this.#what) {
      this.#what = what;
      this.#startedMs = nowMs;
      this.#spokenMs = Number.NEGATIVE_INFINITY;
    }
    if (nowMs - this.#startedMs < quietMs || nowMs - this.#spokenMs < this.#intervalMs) return false;
    this.#spokenMs = nowMs;
    return true;
  }
}
