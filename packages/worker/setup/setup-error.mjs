/** A set-up that can't go on, for a reason the user can act on. The message stands alone: no stack trace is shown. */
export class SetupError extends Error {
  /**
   * @param {string} message what, actual value, what was expected, next step
   * @param {ErrorOptions & { summary?: string }} [options] summary: the reason in one line, else the message's first
   */
  constructor(message, options) {
    super(message, options);
    this.name = "SetupError";
    /** The reason in one line. */
    this.summary = options?.summary ?? summaryOf(message);
  }
}

/** A download that is not the published file. No other way is tried then: it would hide that. */
export class ChecksumError extends SetupError {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "ChecksumError";
  }
}

/**
 * @param {unknown} error
 * @returns {string}
 */
export function messageOf(error) {
  return error instanceof Error ? error.message : String(error);
}

/**
 * @param {string} message
 * @returns {string} its first line, and its last, which of a program's output is the one that matters
 */
export function summaryOf(message) {
  const lines = message.split("\n").map((line) => line.trim());
  const first = (lines[0] ?? "").replace(/:$/, "");
  return lines.length === 1 ? first : `${first}, ${lines.at(-1)}`;
}
