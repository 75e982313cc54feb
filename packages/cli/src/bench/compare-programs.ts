import { DownpourError } from "@downpour/errors";
import type { Reporter } from "../reporter.ts";
import type { ProgramTimes } from "./compute-plan.ts";
import type { Program } from "./compute-programs.ts";
import { measureInRounds } from "./measure-in-rounds.ts";
import { median, medianRatio } from "./statistics.ts";
import { figureText } from "./table.ts";

/** What was measured of one program: medians over the rounds, and the rounds. */
export interface ProgramResult {
  readonly name: Program["name"];
  readonly label: string;
  readonly imagesPerSecond: number;
  /** CPU time of a step; undefined where the program does not say. */
  readonly cpuMilliseconds: number | undefined;
  readonly loss: number | undefined;
  readonly rounds: readonly Pick<ProgramTimes, "imagesPerSecond" | "cpuMilliseconds">[];
}

/** By program, how many times faster ours is. */
export type Ratios = Readonly<Partial<Record<Program["name"], number>>>;

/**
 * Runs all programs in each round, in alternating order. One that fails and is not required is left out from then on.
 *
 * @throws as the required programs
 */
export async function comparePrograms(
  programs: readonly Program[],
  rounds: number,
  reporter: Reporter,
): Promise<ProgramResult[]> {
  const said = new Set<string>();
  const measured = await measureInRounds<ProgramTimes, Program>(
    programs,
    rounds,
    reporter,
    ({ label }, { imagesPerSecond, notices }, round) => {
      reporter.note(`round ${round + 1}: ${label} ${figureText(imagesPerSecond)} images/s`);
      for (const notice of notices) {
        if (!said.has(notice)) reporter.warn(`${label}: ${notice}`);
        said.add(notice);
      }
    },
  );
  return [...measured].map(([{ name, label }, times]) => ({
    name,
    label,
    imagesPerSecond: median(times.map(({ imagesPerSecond }) => imagesPerSecond)),
    cpuMilliseconds: medianIfAll(times.map(({ cpuMilliseconds }) => cpuMilliseconds)),
    loss: times[0]?.loss,
    rounds: times.map(({ imagesPerSecond, cpuMilliseconds }) => ({ imagesPerSecond, cpuMilliseconds })),
  }));
}

/**
 * How many times faster the first result is than each of the others, within the same round, by wall time and by CPU
 * time; medians over the rounds.
 */
export function ratiosOf(results: readonly ProgramResult[]): { ratios: Ratios; ratiosByCpuTime: Ratios } {
  const [ours, ...others] = results;
  if (ours === undefined) throw new DownpourError("internal", "nothing was measured");
  const ratios: Partial<Record<Program["name"], number>> = {};
  const ratiosByCpuTime: Partial<Record<Program["name"], number>> = {};
  for (const other of others) {
    ratios[other.name] = medianRatio(
      ours.rounds.map(({ imagesPerSecond }) => imagesPerSecond),
      other.rounds.map(({ imagesPerSecond }) => imagesPerSecond),
    );
    const otherTimes = definedOrNone(other.rounds.map(({ cpuMilliseconds }) => cpuMilliseconds));
    const ownTimes = definedOrNone(ours.rounds.map(({ cpuMilliseconds }) => cpuMilliseconds));
    if (otherTimes && ownTimes) ratiosByCpuTime[other.name] = medianRatio(otherTimes, ownTimes);
  }
  return { ratios, ratiosByCpuTime };
}

function medianIfAll(values: readonly (number | undefined)[]): number | undefined {
  const defined = definedOrNone(values);
  return defined && median(defined);
}

/** The values, or undefined if one of them is. */
function definedOrNone(values: readonly (number | undefined)[]): number[] | undefined {
  const defined = values.filter((value) => value !== undefined);
  return defined.length === values.length ? defined : undefined;
}
