import type { JobEvent } from "@downpour/protocol";

/** What is marked in the charts. */
export type MarkKind = "drop" | "checkpoint" | "joined" | "left" | "died" | "draining" | "paused" | "resumed";

/** Something that happened at a moment of the run. */
export interface Mark {
  readonly sequence: number;
  readonly timeMs: number;
  readonly epoch: number;
  readonly kind: MarkKind;
  readonly text: string;
}

/** The kind of mark that an event makes; undefined for none. */
export function markKindOf(event: JobEvent): MarkKind | undefined {
  switch (event.type) {
    case "learningRateDropped":
      return "drop";
    case "memberJoined":
      return "joined";
    case "memberLeft":
      return event.how === "dead" ? "died" : "left";
    case "memberDraining":
      return "draining";
    case "paused":
    case "resumed":
      return event.type;
    default:
      return isCheckpoint(event) ? "checkpoint" : undefined;
  }
}

/** A checkpoint that was written, whatever else its event is called. */
function isCheckpoint(event: { readonly type: string }): boolean {
  return /^checkpoint(?!.*(Fail|Start|Begin))/.test(event.type);
}

/** At most `max` marks: the oldest about members go first, then the oldest of all. */
export function boundMarks(marks: Mark[], max: number): void {
  while (marks.length > max) {
    const member = marks.findIndex(({ kind }) => ["joined", "left", "draining"].includes(kind));
    marks.splice(Math.max(member, 0), 1);
  }
}
