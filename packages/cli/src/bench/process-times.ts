import { readFileSync } from "node:fs";

/** What the kernel counts CPU time in, whatever it ticks at inside: 100 per second on every Linux. */
const millisecondsPerTick = 10;

/** CPU time of a process and all its threads so far, user and system; undefined where the kernel does not say. */
export function cpuMillisecondsOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The second field is the name in brackets, which may hold anything; then utime and stime are fields 14 and 15.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const milliseconds = (Number(fields[11]) + Number(fields[12])) * millisecondsPerTick;
    return Number.isFinite(milliseconds) ? milliseconds : undefined;
  } catch {
    return undefined;
  }
}
