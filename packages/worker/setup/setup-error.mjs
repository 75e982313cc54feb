/** A set-up that can't go on, for a reason the user can act on. The message stands alone: no stack trace is shown. */
export class SetupError extends Error {
  /**
   * @param {string} message what, actual value, what was expected, next step
   * @param {ErrorOptions} [options]
   */
  constructor(message, options) {
    super(message, options);
    this.name = "SetupError";
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
