/** 12345.6 as "12,346". */
export function countText(value: number | null | undefined): string {
  if (value === null || value === undefined) return "–";
  return Math.round(value).toLocaleString("en");
}

/** A figure with so many significant digits. */
export function figureText(value: number | null | undefined, digits = 4): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(digits - 2).replace("e+", "e");
  return String(Number(value.toPrecision(digits)));
}

/** 0.98765 as "98.77 %". */
export function percentText(share: number | null | undefined): string {
  return share === null || share === undefined ? "–" : `${(100 * share).toFixed(2)} %`;
}

/** 3725 as "1:02:05". */
export function durationText(seconds: number | null | undefined): string {
  if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) return "–";
  const whole = Math.max(0, Math.round(seconds));
  const pad = (value: number) => String(value).padStart(2, "0");
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  return hours > 0 ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`;
}

/** Bytes as MiB or GiB. */
export function bytesText(bytes: number): string {
  const mebibytes = bytes / 2 ** 20;
  return mebibytes < 1024 ? `${figureText(mebibytes, 3)} MiB` : `${figureText(mebibytes / 1024, 3)} GiB`;
}

export function clockText(timeMs: number): string {
  return new Date(timeMs).toLocaleTimeString("en-GB");
}
