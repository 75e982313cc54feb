import { codeOf, type ErrorCode, messageOf } from "@downpour/errors";

/** What a process that measures says to its parent, once. */
export type MeasuredMessage<Result> =
  | { readonly type: "measured"; readonly result: Result }
  | { readonly type: "failed"; readonly code: ErrorCode; readonly message: string };

/** The body of a process that measures: takes the input of its first argument, tells its parent, and ends. */
export async function answerParent<Input, Result>(measure: (input: Input) => Promise<Result>): Promise<void> {
  // Without a parent nobody wants the result.
  process.once("disconnect", () => process.exit(1));
  process.send?.(await messageOfMeasuring(measure), () => process.exit());
}

async function messageOfMeasuring<Input, Result>(
  measure: (input: Input) => Promise<Result>,
): Promise<MeasuredMessage<Result>> {
  try {
    const input = JSON.parse(process.argv[2] ?? "{}") as Input;
    return { type: "measured", result: await measure(input) };
  } catch (error) {
    return { type: "failed", code: codeOf(error), message: messageOf(error) };
  }
}
