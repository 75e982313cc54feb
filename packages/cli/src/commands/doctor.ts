import { chosenDevice, type DeviceReport, findDevices, hasBfloat16 } from "@downpour/worker";
import { checkRequirements, type Requirement } from "@downpour/worker/setup";
import { stdoutColours as pc } from "../colours.ts";
import type { Reporter } from "../reporter.ts";

/** What was found on a machine. */
export interface Diagnosis {
  /** Node first, then what native TensorFlow needs. */
  readonly checks: readonly Requirement[];
  readonly devices: readonly DeviceReport[];
  /** Whether the processor computes in bfloat16; undefined where it can't be told. */
  readonly bfloat16: boolean | undefined;
}

/**
 * `downpour doctor`: the devices of this machine, which one a worker would take, and what is lacking for the others.
 * Returns the exit status: 0 when at least one device works.
 */
export async function doctor(reporter: Reporter): Promise<number> {
  const diagnosis = { checks: checkRequirements(), devices: await findDevices(), bfloat16: hasBfloat16() };
  const { summary, lines } = diagnose(diagnosis);
  reporter.result(summary, lines);
  return summary.ok ? 0 : 1;
}

/** What to say of a machine, to programs and to people. Node is needed by every device, the other checks by cpu and cuda. */
export function diagnose({ checks, devices, bfloat16 }: Diagnosis): {
  summary: { readonly ok: boolean; readonly device: string | null; readonly [fact: string]: unknown };
  lines: string[];
} {
  const isNodeOk = checks.every(({ name, ok }) => ok || name !== "Node.js");
  const ok = isNodeOk && devices.some(({ available }) => available);
  const device = ok ? chosenDevice(devices, "auto") : undefined;
  const bfloat16Text = bfloat16 === undefined ? "unknown" : bfloat16 ? "yes" : "no";
  const lines = [
    ...checks.flatMap(checkLines),
    "",
    "Devices, in the order that auto prefers:",
    ...devices.flatMap((report) => deviceLines(report)),
    "",
    `Arithmetic in bfloat16 (AVX512_BF16 or AMX), for compute.precision bf16: ${bfloat16Text}`,
    device === undefined ? pc.red("A worker can't run here") : `A worker would use: ${pc.bold(device)}`,
  ];
  const summary = { ok, checks, devices, device: device ?? null, bfloat16: bfloat16 ?? null };
  return { summary, lines };
}

const indent = " ".repeat(9);

function checkLines(check: Requirement): string[] {
  if (check.ok) return [`${pc.green("ok     ")}  ${check.name}: ${check.found}`];
  const isNode = check.name === "Node.js";
  const mark = isNode ? pc.red("missing") : pc.yellow("missing");
  const purpose = isNode ? "" : ", for cpu and cuda";
  return [
    `${mark}  ${check.name}: ${check.found}`,
    `${indent}needed${purpose}: ${check.needed}`,
    ...indented("get it: ", check.fix),
  ];
}

function deviceLines({ device, available, detail, fix }: DeviceReport): string[] {
  const mark = available ? pc.green("works  ") : pc.yellow("no     ");
  return [`${mark}  ${device}: ${detail}`, ...(fix === undefined ? [] : indented("get it: ", fix))];
}

/** A text of several lines under a heading, in line with its first. */
function indented(heading: string, text: string): string[] {
  return text
    .split("\n")
    .map((line, i) => `${indent}${i === 0 ? heading : " ".repeat(heading.length)}${line}`);
}
