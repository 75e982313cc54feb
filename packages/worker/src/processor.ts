import { readFileSync } from "node:fs";

/** Flags of Linux's processor list that mean bfloat16 arithmetic in hardware: of x64, and of ARM. */
const bfloat16Flags = ["avx512_bf16", "amx_bf16", "bf16"];

/** Whether the processor computes in bfloat16; undefined where it can't be told. */
export function hasBfloat16(processorList = "/proc/cpuinfo"): boolean | undefined {
  try {
    const text = readFileSync(processorList, "utf8");
    const flags = /^(?:flags|Features)\s*:(.*)$/m.exec(text)?.[1]?.split(" ");
    return flags && bfloat16Flags.some((flag) => flags.includes(flag));
  } catch {
    return undefined; // not Linux
  }
}
