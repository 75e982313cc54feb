import { DownpourError, type ErrorCode, messageOf } from "@downpour/errors";
import { ErrorCode as NatsCode, NatsError } from "nats";

/** Numbers of JetStream's errors, as its API documents them. */
const apiCodes = {
  noConsumer: 10014,
  noMessage: 10037,
  notEnabledForAccount: 10039,
  storageFull: 10047,
  messageTooLong: 10054,
  nameInUse: 10058,
  noStream: 10059,
  wrongLastSequence: 10071,
  replicasWithoutCluster: 10074,
  notEnabled: 10076,
  streamFull: 10077,
} as const;

/**
 * The cluster is not complete, or has no leader now: what its nodes answer while they gather or are too few. Some come
 * with a status other than 503.
 */
const gatheringCodes: ReadonlySet<number> = new Set([10004, 10005, 10006, 10007, 10008, 10009, 10010, 10118]);

/** Another write came first: the subject's last sequence is not the expected one. */
export function isWrongLastSequence(error: unknown): boolean {
  return apiCodeOf(error) === apiCodes.wrongLastSequence;
}

export function isNoMessage(error: unknown): boolean {
  return apiCodeOf(error) === apiCodes.noMessage;
}

export function isNoStream(error: unknown): boolean {
  return apiCodeOf(error) === apiCodes.noStream;
}

/** The place of a reader is gone. */
export function isNoConsumer(error: unknown): boolean {
  const cause = error instanceof DownpourError ? error.cause : error;
  return apiCodeOf(cause) === apiCodes.noConsumer;
}

/** Somebody else made the stream a moment ago, with other settings. */
export function isNameInUse(error: unknown): boolean {
  return apiCodeOf(error) === apiCodes.nameInUse;
}

/**
 * What went wrong with a call to NATS, for people.
 *
 * - unavailable: no server was reached, none answered in time, or too few nodes of the cluster are up
 * - failedPrecondition: the server is there, but not set up for this (no JetStream, no cluster, no access)
 * - resourceExhausted: a message or the server's storage is beyond its limit
 * - internal: anything else
 *
 * @param what what was tried, as in "put the key k"
 * @param servers addresses, for the message
 */
export function natsError(what: string, servers: string, cause: unknown): DownpourError {
  if (cause instanceof DownpourError) return cause;
  const { code, problem, step } = diagnose(cause);
  return new DownpourError(code, `NATS at ${servers} ${problem}, so it could not ${what}; ${step}`, {
    facts: { servers },
    cause,
  });
}

interface Diagnosis {
  readonly code: ErrorCode;
  readonly problem: string;
  readonly step: string;
}

const startServer = "start it with JetStream (nats-server -js), or correct the address";
const checkCluster = "check that more than half of its nodes are up, then try again";

const authenticationCodes: ReadonlySet<string> = new Set([
  NatsCode.AuthorizationViolation,
  NatsCode.AuthenticationExpired,
  NatsCode.AuthenticationTimeout,
  NatsCode.AccountExpired,
  NatsCode.BadAuthentication,
  NatsCode.BadCreds,
  NatsCode.PermissionsViolation,
]);

function diagnose(cause: unknown): Diagnosis {
  const api = cause instanceof NatsError ? cause.api_error : undefined;
  if (api !== undefined) return diagnoseApi(api.err_code, api.code, api.description);
  const code = codeOf(cause);
  if (code === NatsCode.Timeout || code === NatsCode.ConnectionTimeout) {
    return { code: "unavailable", problem: "did not answer in time", step: checkCluster };
  }
  if (code === NatsCode.NoResponders) {
    return { code: "unavailable", problem: "has nobody who serves JetStream now", step: startServer };
  }
  if (code === NatsCode.MaxPayloadExceeded) {
    return {
      code: "resourceExhausted",
      problem: "takes no message of that length",
      step: "raise max_payload in its configuration to 1 MiB or more",
    };
  }
  if (authenticationCodes.has(code)) {
    return {
      code: "failedPrecondition",
      problem: `refuses access (${messageOf(cause)})`,
      step: "give the token and the rights that its configuration names",
    };
  }
  if (isConnectionCode(code)) {
    return { code: "unavailable", problem: `is not reachable (${code})`, step: startServer };
  }
  return { code: "internal", problem: `failed (${messageOf(cause)})`, step: "see the server's log" };
}

function diagnoseApi(errorCode: number | undefined, status: number, description: string): Diagnosis {
  switch (errorCode) {
    case apiCodes.notEnabled:
    case apiCodes.notEnabledForAccount:
      return { code: "failedPrecondition", problem: "runs without JetStream", step: startServer };
    case apiCodes.replicasWithoutCluster:
      return {
        code: "failedPrecondition",
        problem: "is a single server and keeps no replicas",
        step: "ask for 1 replica, or start a cluster of three",
      };
    case apiCodes.storageFull:
    case apiCodes.streamFull:
    case apiCodes.messageTooLong:
      return {
        code: "resourceExhausted",
        problem: `is at its limit (${description})`,
        step: "give JetStream more room",
      };
    default:
      return status === 503 || (errorCode !== undefined && gatheringCodes.has(errorCode))
        ? { code: "unavailable", problem: `is not ready (${description})`, step: checkCluster }
        : { code: "internal", problem: `failed (${description})`, step: "see the server's log" };
  }
}

function isConnectionCode(code: string): boolean {
  return code.startsWith("CONNECTION_") || code === NatsCode.Disconnect || /^E[A-Z_]+$/.test(code);
}

function apiCodeOf(error: unknown): number | undefined {
  return error instanceof NatsError ? error.api_error?.err_code : undefined;
}

/** The code of an error of NATS or of Node's sockets; empty where there is none. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error) || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}
