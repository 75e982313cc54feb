import { constants } from "node:http2";
import type { Writable } from "node:stream";
import { http2StreamOf } from "./http2-tuning.ts";
import { limits } from "./limits.ts";
import { toCallStatus } from "./status.ts";

/**
 * Ends a stream with the status of an error. A client that does not read gets it as the code of a reset
 * (ENHANCE_YOUR_CALM, which clients read as RESOURCE_EXHAUSTED), since a status would queue behind the answers; so
 * does one that keeps its side open for longer than `limits.endGraceMs`.
 */
export function endStream(stream: Writable, error: unknown): void {
  const { NGHTTP2_ENHANCE_YOUR_CALM } = constants;
  const transport = http2StreamOf(stream);
  if (stream.writableLength > 0) {
    transport.close(NGHTTP2_ENHANCE_YOUR_CALM);
    return;
  }
  stream.emit("error", toCallStatus(error));
  const timer = setTimeout(() => transport.close(NGHTTP2_ENHANCE_YOUR_CALM), limits.endGraceMs).unref();
  transport.once("close", () => clearTimeout(timer));
}
