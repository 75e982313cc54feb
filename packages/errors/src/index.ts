export { assertNever, DownpourError, type ErrorCode, errorCodes, exitCodeOf, messageOf } from "./error.ts";
