import type { JobSummary, Progress, TimedJobEvent } from "@downpour/protocol";
import { eventText } from "../event-text.ts";
import { durationText, percentText, progressText } from "../progress-text.ts";

/** What the events of a run say of it. */
export interface RunStatus {
  /** `lost`: it did not end, and no coordinator answers. */
  readonly state: "waiting" | "training" | "draining" | "finished" | "failed" | "lost" | (string & {});
  readonly progress: Progress | null;
  readonly summary: JobSummary | null;
  /** Members that are in the job now. */
  readonly members: readonly { readonly memberId: string; readonly role: string; readonly name: string }[];
  readonly learningRateDrops: number;
  /** Of the latest events, what people would want to know, oldest first. */
  readonly latest: readonly { readonly timeMs: number; readonly text: string }[];
}

const latestMax = 5;

/** Folds the events of a run. @param running whether its coordinator answers */
export function statusOf(
  events: readonly Pick<TimedJobEvent, "timeMs" | "event">[],
  running: boolean,
): RunStatus {
  let state = "waiting";
  let progress: Progress | null = null;
  let summary: JobSummary | null = null;
  let learningRateDrops = 0;
  const members = new Map<string, RunStatus["members"][number]>();
  for (const { event } of events) {
    switch (event.type) {
      case "stateChanged":
        state = event.state;
        break;
      case "progress":
        progress = event;
        break;
      case "memberJoined":
        members.set(event.memberId, { memberId: event.memberId, role: event.role, name: event.name });
        break;
      case "memberLeft":
        members.delete(event.memberId);
        break;
      case "learningRateDropped":
        learningRateDrops++;
        break;
      case "ended":
        summary = event.summary;
        state = event.summary.outcome;
        break;
      default:
    }
  }
  if (summary === null && !running) state = "lost";
  const told = events.flatMap(({ timeMs, event }) => {
    const text = event.type === "ended" ? undefined : eventText(event);
    return text === undefined ? [] : [{ timeMs, text }];
  });
  const present = running ? [...members.values()] : [];
  return { state, progress, summary, members: present, learningRateDrops, latest: told.slice(-latestMax) };
}

/** The status for people. */
export function statusLines(status: RunStatus, nowMs: number): string[] {
  const { state, progress, summary, members, latest } = status;
  const lines = [
    `state     ${state}${state === "lost" ? ": it has not ended, and its coordinator does not answer" : ""}`,
  ];
  if (progress !== null && summary === null) {
    lines.push(`progress  ${progressText(progress, Number.POSITIVE_INFINITY)}`);
  }
  if (summary !== null) {
    const { message, testAccuracy, validationAccuracy, trainingSeconds, examplesPerSecond, modelDirectory } =
      summary;
    if (message !== null) lines.push(`reason    ${message}`);
    lines.push(
      `accuracy  test ${percentText(testAccuracy)}, validation ${percentText(validationAccuracy)}`,
      `trained   ${durationText(trainingSeconds)}, ${Math.round(examplesPerSecond)} examples/s`,
      ...(modelDirectory === null ? [] : [`model     ${modelDirectory}`]),
    );
  }
  if (members.length > 0) {
    lines.push(`members   ${members.map(({ memberId, role }) => `${memberId} (${role})`).join(", ")}`);
  }
  for (const { timeMs, text } of latest) lines.push(`${agoText(nowMs - timeMs).padStart(9)} ${text}`);
  return lines;
}

/** "12 s ago", "3 min ago", "5 h ago", "2 d ago". */
export function agoText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86_400)} d ago`;
}
