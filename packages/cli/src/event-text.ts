import type { AsynchronyChoice, DivergenceFigures, JobEvent, JobSummary } from "@downpour/protocol";
import { stderrColours as pc } from "./colours.ts";
import { durabilityText } from "./durability-text.ts";
import { durationText, numberText, percentText, rateText } from "./progress-text.ts";

/** An event in words; undefined for those that the progress line already shows. */
export function eventText(event: JobEvent): string | undefined {
  switch (event.type) {
    case "memberJoined":
      return pc.dim(`${event.memberId} joined (${event.name})`);
    case "memberLeft":
      if (event.how === "left") return pc.dim(`${event.memberId} left`);
      return pc.yellow(`${event.memberId} died; ${event.batchesReturned} batches go to others`);
    case "evaluated": {
      const best = event.best ? "  best so far" : "";
      return `epoch ${event.epoch.toFixed(2)}  validation loss ${numberText(event.loss, 4)}  accuracy ${percentText(event.accuracy)}${best}`;
    }
    case "learningRateDropped":
      return event.divergence === null
        ? pc.cyan(`epoch ${event.epoch.toFixed(2)}  learning rate drops to ${rateText(event.learningRate)}`)
        : pc.yellow(divergenceText(event, event.divergence));
    case "asynchronyChosen":
      return event.reason === "start" ? pc.dim(choiceText(event)) : pc.dim(workersText(event));
    case "memberDraining":
      return pc.dim(`${event.memberId} was asked to finish and leave`);
    case "paused":
      return pc.cyan(`epoch ${event.epoch.toFixed(2)}  paused; workers finish what they hold`);
    case "resumed":
      return pc.cyan(`epoch ${event.epoch.toFixed(2)}  resumed`);
    case "leaseExpired":
      return pc.yellow(
        `the lease of ${event.memberId} expired; ${event.batchesReturned} batches go to others`,
      );
    case "serverLost":
    case "slicesRestored":
    case "replicaLost":
    case "replicasInStep":
    case "checkpointed":
    case "checkpointFailed":
    case "coordinatorStarted":
    case "resumedFromCheckpoint":
      return durabilityText(event);
    case "stateChanged":
      return event.state === "training" ? pc.dim("training begins") : undefined;
    case "ended": {
      const { summary } = event;
      if (summary.outcome === "failed") return undefined;
      const text = pc.dim(
        `${summary.examplesCounted} examples in ${durationText(summary.trainingSeconds)}, ` +
          `${Math.round(summary.examplesPerSecond)} examples/s, staleness ${summary.stalenessMean.toFixed(2)} ` +
          `on average, at most ${summary.stalenessMax}${clippedText(summary.clippedBatches)}`,
      );
      return summary.unreadableExamples === 0 ? text : `${text}\n${pc.yellow(unreadableText(summary))}`;
    }
    default:
      return undefined;
  }
}

/** What was chosen for asynchronous training, in one line. */
export function choiceText(choice: AsynchronyChoice): string {
  const parts = [
    ...(choice.momentumOfJob === 0 ? [] : [momentumText(choice)]),
    `${rateFactorText(choice.rateFactor)}${choice.adapts ? "" : ", both whatever the workers"}`,
    choice.warmStartBatches === null ? "no warm start" : `warm start of ${choice.warmStartBatches} batches`,
  ];
  const protections = [
    clipText(choice.clipNorm),
    `staleness policy ${choice.stalenessPolicy}`,
    `divergence guard ${choice.divergenceGuard ? "on" : "off"}`,
  ];
  return `${workersCount(choice.workers)}, ${choice.consistency}: ${parts.join(", ")}; ${protections.join("; ")}`;
}

function workersText(choice: AsynchronyChoice): string {
  const momentum = choice.momentumOfJob === 0 ? "" : `${momentumText(choice)}, `;
  return `${workersCount(choice.workers)} now: ${momentum}${rateFactorText(choice.rateFactor)}`;
}

function divergenceText(
  { epoch, learningRate }: { readonly epoch: number; readonly learningRate: number },
  { loss, bestLoss, refused, window, halvings, halvingsMax }: DivergenceFigures,
): string {
  const what =
    refused > 0
      ? `${refused} of the last ${window} gradients were not finite`
      : `the loss is ${numberText(loss, 3)} after a best of ${numberText(bestLoss, 3)}`;
  return (
    `epoch ${epoch.toFixed(2)}  training diverges: ${what}; learning rate halved to ${rateText(learningRate)} ` +
    `(${halvings} of at most ${halvingsMax} in a row)`
  );
}

function momentumText({ momentumOfJob, momentum }: AsynchronyChoice): string {
  const [before, now] = [rateText(momentumOfJob), rateText(momentum)];
  return before === now ? `momentum ${now}` : `momentum ${before} -> ${now}`;
}

function rateFactorText(rateFactor: number): string {
  const factor = rateText(rateFactor);
  return factor === "1" ? "rate as it is" : `rate times ${factor}`;
}

function clipText(clipNorm: AsynchronyChoice["clipNorm"]): string {
  if (clipNorm === "off") return "gradients not clipped";
  return clipNorm === "auto" ? "gradients clipped" : `gradients clipped to norm ${clipNorm}`;
}

function clippedText(batches: number): string {
  return batches === 0 ? "" : `; ${batches} gradients clipped`;
}

function workersCount(workers: number): string {
  return `${workers} worker${workers === 1 ? "" : "s"}`;
}

function unreadableText({ unreadableExamples }: JobSummary): string {
  const were = unreadableExamples === 1 ? "1 example was" : `${unreadableExamples} examples were`;
  return `${were} left out over all epochs, since they could not be read; the workers' logs name them`;
}
