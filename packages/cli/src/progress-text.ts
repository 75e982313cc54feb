import type { Progress } from "@downpour/protocol";

/** One line about how far a job is, at most `columns` wide. */
export function progressText(progress: Progress, columns: number): string {
  const parts = [
    `epoch ${progress.epoch.toFixed(2)}/${progress.epochs}`,
    `${Math.round(progress.examplesPerSecond)} examples/s`,
    `loss ${numberText(progress.loss, 4)}`,
    `val ${percentText(progress.validationAccuracy)}`,
    `lr ${rateText(progress.learningRate)}`,
    `staleness ${progress.stalenessMean.toFixed(1)} max ${progress.stalenessMax}`,
    `${progress.workers} worker${progress.workers === 1 ? "" : "s"}`,
    `ETA ${durationText(progress.etaSeconds)}`,
  ];
  const refused = progress.refusedBatches > 0 ? [`${progress.refusedBatches} refused`] : [];
  const line = [...parts, ...refused].join("  ");
  return line.length <= columns ? line : `${line.slice(0, Math.max(0, columns - 1))}…`;
}

/** A share as per cent with two decimals: 0.98765 is "98.77 %". */
export function percentText(share: number | null): string {
  return share === null ? "–" : `${(share * 100).toFixed(2)} %`;
}

/** Seconds as people say them: 75 is "1:15". */
export function durationText(seconds: number | null): string {
  if (seconds === null) return "–";
  const whole = Math.round(seconds);
  const minutes = Math.floor(whole / 60);
  const hours = Math.floor(minutes / 60);
  const pad = (n: number) => String(n).padStart(2, "0");
  return hours > 0 ? `${hours}:${pad(minutes % 60)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`;
}

export function rateText(rate: number): string {
  return rate === 0 ? "0" : String(Number(rate.toPrecision(3)));
}

export function numberText(value: number | null, decimals: number): string {
  return value === null ? "–" : value.toFixed(decimals);
}
