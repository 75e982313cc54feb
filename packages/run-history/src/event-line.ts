import type { JobEvent } from "@downpour/protocol";

/** How much people should care. */
export type LogLevel = "info" | "warning" | "error";

/** An event as a line of a log. */
export interface LogLine {
  readonly level: LogLevel;
  readonly text: string;
}

const percent = (share: number) => `${(100 * share).toFixed(2)} %`;
const rate = (value: number) => String(Number(value.toPrecision(3)));
const dropReasons = {
  plateau: "validation stands still",
  divergence: "training diverges",
  manual: "asked for",
};

const info = (text: string): LogLine => ({ level: "info", text });
const warning = (text: string): LogLine => ({ level: "warning", text });

/** An event in words; undefined for those that are figures, which charts show. */
export function eventLine(event: JobEvent): LogLine | undefined {
  switch (event.type) {
    case "progress":
    case "workerMetrics":
    case "serverMetrics":
      return undefined;
    case "stateChanged":
      return info(
        event.reason === null ? stateText(event.state) : `${stateText(event.state)} (${event.reason})`,
      );
    case "memberJoined":
      return info(`${event.memberId} joined (${event.name})`);
    case "memberDraining":
      return info(`${event.memberId} was asked to finish and leave`);
    case "memberLeft":
      if (event.how === "left") return info(`${event.memberId} left`);
      return warning(`${event.memberId} died; ${event.batchesReturned} batches go to others`);
    case "epochCompleted":
      return info(
        `epoch ${event.epoch + 1} is complete: ${event.applied} of ${event.batches} batches applied, ` +
          `${event.refused} refused, ${event.skipped} skipped`,
      );
    case "evaluated": {
      const loss = event.loss === null ? "not finite" : event.loss.toFixed(4);
      const best = event.best ? ", best so far" : "";
      return info(
        `validation at epoch ${event.epoch.toFixed(2)}: loss ${loss}, accuracy ${percent(event.accuracy)}${best}`,
      );
    }
    case "learningRateDropped": {
      const text = `learning rate drops to ${rate(event.learningRate)} (times ${rate(event.factor)}; ${dropReasons[event.reason]})`;
      return event.reason === "divergence" ? warning(text) : info(text);
    }
    case "asynchronyChosen":
      return info(
        `${event.workers} worker${event.workers === 1 ? "" : "s"}, ${event.consistency}: momentum ` +
          `${rate(event.momentum)}, rate times ${rate(event.rateFactor)}`,
      );
    case "paused":
      return info("paused; workers finish what they hold");
    case "resumed":
      return info("resumed");
    case "batchRefused":
      return warning(
        `batch ${event.batch} of epoch ${event.epoch + 1} was refused: the gradient of ${event.memberId} is not finite`,
      );
    case "leaseExpired":
      return warning(`the lease of ${event.memberId} expired; ${event.batchesReturned} batches go to others`);
    case "ended": {
      const { outcome, message, testAccuracy } = event.summary;
      if (outcome === "failed")
        return { level: "error", text: `failed: ${message ?? "no reason was given"}` };
      return info(testAccuracy === null ? "finished" : `finished, test accuracy ${percent(testAccuracy)}`);
    }
    default:
      return unknownLine(event);
  }
}

const states: Readonly<Record<string, string>> = {
  waitingForServers: "waiting for servers",
  waitingForWorkers: "waiting for workers",
  training: "training",
  draining: "draining: leases in hand are finished",
  evaluating: "final evaluation",
  finished: "finished",
  failed: "failed",
};

function stateText(state: string): string {
  return states[state] ?? state;
}

/** An event of a newer coordinator: its type as words, and its figures. */
function unknownLine(event: JobEvent): LogLine {
  const { type, ...facts } = event as { readonly type: string } & Record<string, unknown>;
  const words = type.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  const figures = Object.entries(facts)
    .filter(([, value]) => ["string", "number", "boolean"].includes(typeof value))
    .map(([name, value]) => `${name} ${String(value)}`);
  return info(figures.length === 0 ? words : `${words}: ${figures.join(", ")}`);
}
