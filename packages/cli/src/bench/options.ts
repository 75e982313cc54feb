import { DownpourError } from "@downpour/errors";

/**
 * The text of an option as an integer.
 * @throws usage, naming option, text and range
 */
export function integerOption(name: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isInteger(value) && value >= min && value <= max) return value;
  throw new DownpourError("usage", `${name} ${text}: expected an integer of ${min} to ${max}`);
}

/**
 * The text of an option as one of some words.
 * @throws usage, naming option, text and words
 */
export function wordOption<const Word extends string>(
  name: string,
  text: string,
  words: readonly Word[],
): Word {
  const known = words.find((word) => word === text);
  if (known !== undefined) return known;
  throw new DownpourError("usage", `${name} ${text}: expected one of ${words.join(", ")}`);
}

/**
 * The text of an option as integers with commas between them, each once.
 * @throws usage, naming option, text and range
 */
export function integerListOption(name: string, text: string, min: number, max: number): number[] {
  const values = text.split(",").map((part) => (part.trim() === "" ? Number.NaN : Number(part)));
  const good = values.every((value) => Number.isInteger(value) && value >= min && value <= max);
  if (good && new Set(values).size === values.length) return values;
  throw new DownpourError(
    "usage",
    `${name} ${text}: expected different integers of ${min} to ${max} with commas between them, such as 1,2`,
  );
}
