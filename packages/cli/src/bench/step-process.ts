import { codeOf, type ErrorCode, messageOf } from "@downpour/errors";
import { measureSteps, type StepMeasurement, type StepTimes } from "@downpour/worker";

/* Entry of a process that times the steps of one program, named by its first argument, and tells its parent. */

/** What the process says, once. */
export type StepMessage =
  | { readonly type: "measured"; readonly times: StepTimes }
  | { readonly type: "failed"; readonly code: ErrorCode; readonly message: string };

async function measured(): Promise<StepMessage> {
  try {
    const measurement = JSON.parse(process.argv[2] ?? "{}") as StepMeasurement;
    return { type: "measured", times: await measureSteps(measurement) };
  } catch (error) {
    return { type: "failed", code: codeOf(error), message: messageOf(error) };
  }
}

// Without a parent nobody wants the result.
process.once("disconnect", () => process.exit(1));
process.send?.(await measured(), () => process.exit());
