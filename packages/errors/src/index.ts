export {
  assertNever,
  codeOf,
  DownpourError,
  type ErrorCode,
  errorCodes,
  exitCodeOf,
  messageOf,
} from "./error.ts";
