import { codeOf, type ErrorCode, messageOf } from "@downpour/errors";

/** HTTP status of each error code. */
const statuses: Readonly<Record<ErrorCode, number>> = {
  usage: 400,
  invalidArgument: 400,
  failedPrecondition: 409,
  unauthenticated: 401,
  permissionDenied: 403,
  unknownMember: 404,
  sliceMoved: 503,
  rolledBack: 409,
  fenced: 409,
  notFound: 404,
  corruptData: 500,
  unavailable: 503,
  deadlineExceeded: 504,
  resourceExhausted: 503,
  environment: 500,
  jobFailed: 409,
  internal: 500,
};

/** An error as it is answered: status and JSON. */
export function httpError(error: unknown): { readonly status: number; readonly body: object } {
  const code = codeOf(error);
  return { status: statuses[code], body: { error: { code, message: messageOf(error) } } };
}
