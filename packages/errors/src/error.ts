/**
 * What went wrong, as a closed list. Each code has one gRPC status (in `@downpour/protocol`) and one exit
 * status (below), so that a reason survives every boundary it crosses.
 *
 * - `usage`: a command line, a job file or a configuration that cannot be run
 * - `invalidArgument`: a message or value that is wrong whatever the state of the receiver
 * - `failedPrecondition`: a right request at the wrong time (not initialized, another manifest, fenced)
 * - `unauthenticated`: the caller did not prove that it belongs to the cluster
 * - `permissionDenied`: the caller is known, and may not do this
 * - `unknownMember`: the sender is not, or no longer, a member of the job
 * - `sliceMoved`: the slice is not, or no longer, the server's; ask the coordinator where it is, and try again
 * - `rolledBack`: what was computed before slices went back to a checkpoint is of no use any more; pull again
 * - `fenced`: the sender's term or coordinator epoch is over; it must do nothing more
 * - `notFound`: a thing named does not exist (slice, file, model)
 * - `corruptData`: a data file of the wrong size, checksum or form
 * - `unavailable`: the other side does not answer; trying again may help
 * - `deadlineExceeded`: no answer within the bound
 * - `resourceExhausted`: a named limit was reached
 * - `environment`: this machine lacks something that is needed
 * - `jobFailed`: the job ended in failure
 * - `internal`: a broken invariant
 */
export const errorCodes = [
  "usage",
  "invalidArgument",
  "failedPrecondition",
  "unauthenticated",
  "permissionDenied",
  "unknownMember",
  "sliceMoved",
  "rolledBack",
  "fenced",
  "notFound",
  "corruptData",
  "unavailable",
  "deadlineExceeded",
  "resourceExhausted",
  "environment",
  "jobFailed",
  "internal",
] as const;

export type ErrorCode = (typeof errorCodes)[number];

/** Facts of an error: the names and values that its message speaks of. */
export type ErrorFacts = Readonly<Record<string, string | number | boolean | null>>;

/**
 * The one error of Downpour. The message is a sentence for people: what, the actual value, the limit or what
 * was expected, and the next step.
 */
export class DownpourError extends Error {
  override readonly name = "DownpourError";
  readonly code: ErrorCode;
  readonly facts: ErrorFacts;

  constructor(code: ErrorCode, message: string, options: { facts?: ErrorFacts; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.facts = options.facts ?? {};
  }
}

/** Exit status of a process that ends with this error: 2 for usage, 1 for every other failure. */
export function exitCodeOf(error: unknown): 1 | 2 {
  return codeOf(error) === "usage" ? 2 : 1;
}

/** The code of whatever was thrown: `internal` for what is no {@link DownpourError}. */
export function codeOf(thrown: unknown): ErrorCode {
  return thrown instanceof DownpourError ? thrown.code : "internal";
}

/** The message of whatever was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}

/** The default branch of a switch over a tagged union: reached only if a case is missing. */
export function assertNever(value: never, what: string): never {
  throw new DownpourError("internal", `unexpected ${what}: ${JSON.stringify(value)}`);
}
