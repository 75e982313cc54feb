import { codeOf, DownpourError, type ErrorCode, errorCodes, messageOf } from "@downpour/errors";
import { Metadata, type ServiceError, type StatusObject, status } from "@grpc/grpc-js";
import type { Status } from "./generated/downpour/v1/Status.ts";

/** The one table from error code to gRPC status. */
const grpcStatus: Readonly<Record<ErrorCode, status>> = {
  usage: status.INVALID_ARGUMENT,
  invalidArgument: status.INVALID_ARGUMENT,
  failedPrecondition: status.FAILED_PRECONDITION,
  unauthenticated: status.UNAUTHENTICATED,
  permissionDenied: status.PERMISSION_DENIED,
  unknownMember: status.NOT_FOUND,
  sliceMoved: status.UNAVAILABLE,
  rolledBack: status.FAILED_PRECONDITION,
  fenced: status.FAILED_PRECONDITION,
  notFound: status.NOT_FOUND,
  corruptData: status.DATA_LOSS,
  unavailable: status.UNAVAILABLE,
  deadlineExceeded: status.DEADLINE_EXCEEDED,
  resourceExhausted: status.RESOURCE_EXHAUSTED,
  environment: status.FAILED_PRECONDITION,
  jobFailed: status.ABORTED,
  internal: status.INTERNAL,
};

/** Trailing metadata key that carries the error code, finer than the gRPC status. */
const reasonKey = "downpour-reason";

/** Error code of a gRPC status that came without a reason, from the transport itself. */
function codeOfStatus(code: number): ErrorCode {
  switch (code) {
    case status.INVALID_ARGUMENT:
    case status.OUT_OF_RANGE:
      return "invalidArgument";
    case status.NOT_FOUND:
      return "notFound";
    case status.FAILED_PRECONDITION:
      return "failedPrecondition";
    case status.UNAUTHENTICATED:
      return "unauthenticated";
    case status.PERMISSION_DENIED:
      return "permissionDenied";
    case status.DEADLINE_EXCEEDED:
      return "deadlineExceeded";
    case status.RESOURCE_EXHAUSTED:
      return "resourceExhausted";
    case status.UNAVAILABLE:
    case status.CANCELLED:
      return "unavailable";
    default:
      return "internal";
  }
}

function codeOfReason(reason: string | undefined, code: number): ErrorCode {
  return errorCodes.find((known) => known === reason) ?? codeOfStatus(code);
}

/** The status that ends a call which threw. */
export function toCallStatus(thrown: unknown): Partial<StatusObject> {
  const code = codeOf(thrown);
  const metadata = new Metadata();
  metadata.set(reasonKey, code);
  return { code: grpcStatus[code], details: messageOf(thrown), metadata };
}

/** How the transport says that it could not connect; the first group is why. */
const noConnection =
  /^No connection established\. Last error: (.*?)\s*(?:\(\d{4}-[^)]*\))?\.?\s*Resolution note:/s;

/** What the transport said, without its timestamps, and with the next step. */
function textOf(error: ServiceError): string {
  const text = error.details || error.message;
  const why = noConnection.exec(text)?.[1];
  if (why === undefined) return text;
  return `no connection (${why}); is the process there running, and do both sides use TLS with certificates of one authority, or both none?`;
}

/** The error of a call that ended with a status other than OK. `what` names the call and the other side. */
export function fromCallError(error: ServiceError, what: string): DownpourError {
  const reason = error.metadata?.get(reasonKey)[0]?.toString();
  const code = codeOfReason(reason, error.code);
  // A message that the other side wrote stands for itself; one of the transport needs to say where.
  const message = reason === undefined ? `${what}: ${textOf(error)}` : error.details;
  return new DownpourError(code, message, { cause: error });
}

/** Whether the other side itself answered with this error; else the transport did, which may not have reached it. */
export function wasAnswered(error: unknown): boolean {
  const cause =
    error instanceof DownpourError ? (error.cause as Partial<ServiceError> | undefined) : undefined;
  return (cause?.metadata?.get(reasonKey).length ?? 0) > 0;
}

/** The status inside a message of a stream that stays open. */
export function toMessageStatus(thrown: unknown): Status {
  const code = codeOf(thrown);
  return { code: grpcStatus[code], message: messageOf(thrown), reason: code };
}

export const okStatus: Status = { code: status.OK, message: "", reason: "" };

/** @throws the error that the status stands for, unless it is OK. */
export function throwUnlessOk(found: Status | null, what: string): void {
  if (found === null) throw new DownpourError("internal", `${what}: the answer has no status`);
  if (found.code === status.OK) return;
  throw new DownpourError(codeOfReason(found.reason, found.code), found.message);
}
