import { expect, test } from "vitest";
import * as api from "./index.ts";

test("the public names are these", () => {
  expect(Object.keys(api).sort()).toEqual([
    "BatchOutcome",
    "Codec",
    "Command",
    "EvaluationKind",
    "MemberRole",
    "SequencedStream",
    "TensorRole",
    "answering",
    "connectCoordinator",
    "connectParameterServer",
    "copyBytes",
    "isTransient",
    "limits",
    "makeCertificates",
    "okStatus",
    "retry",
    "sendHeartbeats",
    "serve",
    "services",
    "throwUnlessOk",
    "toMessageStatus",
    "unary",
  ]);
});
