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
