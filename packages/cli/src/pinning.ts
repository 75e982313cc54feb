import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

/** Cores by the numbers that the kernel gives them. */
export type Cores = readonly number[];

/** A command line that runs on certain cores only. */
export function pinned(cores: Cores | undefined, command: readonly string[]): readonly string[] {
  return cores === undefined ? command : ["taskset", "--cpu-list", cores.join(","), ...command];
}

/** The cores that this process may use; undefined where processes can't be pinned: not Linux, or no taskset. */
export async function pinnableCores(): Promise<Cores | undefined> {
  try {
    await promisify(execFile)("taskset", ["--version"]);
    return coresOfStatus(await readFile("/proc/self/status", "utf8"));
  } catch {
    return undefined;
  }
}

/** The cores of the line `Cpus_allowed_list: 0-2,5` of a process's status; undefined without one. */
export function coresOfStatus(status: string): Cores | undefined {
  const list = /^Cpus_allowed_list:\s*([0-9,-]+)$/m.exec(status)?.[1];
  return list?.split(",").flatMap((range) => {
    const [first = 0, last = first] = range.split("-").map(Number);
    return Array.from({ length: last - first + 1 }, (_, i) => first + i);
  });
}
