import { parseArgs } from "node:util";

/**
 * What the command line of a script says: as `parseArgs`, but what it can't be ends the process with one line and
 * status 2.
 *
 * @template {import("node:util").ParseArgsConfig} Config
 * @param {Config} config
 * @returns {ReturnType<typeof parseArgs<Config>>}
 */
export function readOptions(config) {
  try {
    return parseArgs(config);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return refuse(text.split("\n")[0] ?? text);
  }
}

/**
 * @param {string} name of the option
 * @param {string} text as it was given
 * @param {number} least
 * @returns {number}
 */
export function numberOption(name, text, least) {
  const number = Number(text);
  if (text.trim() !== "" && Number.isFinite(number) && number >= least) return number;
  return refuse(`--${name} ${text}: expected a number of at least ${least}`);
}

/**
 * @param {string} name of the option
 * @param {string} text as it was given
 * @param {number} least
 * @returns {number}
 */
export function integerOption(name, text, least) {
  const number = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(number) && number >= least) return number;
  return refuse(`--${name} ${text}: expected an integer of at least ${least}`);
}

/**
 * @template {string | number} Choice
 * @param {string} name of the option
 * @param {string} text as it was given
 * @param {readonly Choice[]} choices
 * @returns {Choice}
 */
export function choiceOption(name, text, choices) {
  const choice = choices.find((each) => String(each) === text);
  const expected = choices.length > 2 ? `one of ${choices.join(", ")}` : choices.join(" or ");
  return choice ?? refuse(`--${name} ${text}: expected ${expected}`);
}

/**
 * Ends the process as one that was called wrongly.
 *
 * @param {string} text
 * @returns {never}
 */
export function refuse(text) {
  process.stderr.write(`${text}\n`);
  process.exit(2);
}
