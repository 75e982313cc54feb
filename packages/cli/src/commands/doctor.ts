import { checkRequirements } from "@downpour/worker/setup";
import pc from "picocolors";
import type { Reporter } from "../reporter.ts";

/** `downpour doctor`: what this machine has and lacks, with the way to get it. Returns the exit status. */
export function doctor(reporter: Reporter): number {
  const checks = checkRequirements();
  const ok = checks.every((check) => check.ok);
  const lines = checks.flatMap((check) => {
    const mark = check.ok ? pc.green("ok     ") : pc.red("missing");
    const line = `${mark}  ${check.name}: ${check.found}`;
    return check.ok ? [line] : [line, `         needed: ${check.needed}`, `         get it: ${check.fix}`];
  });
  reporter.result({ ok, checks }, lines);
  return ok ? 0 : 1;
}
