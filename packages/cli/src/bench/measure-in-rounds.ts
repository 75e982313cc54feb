import { codeOf, messageOf } from "@downpour/errors";
import type { Reporter } from "../reporter.ts";
import { inTurns } from "./statistics.ts";

/** What takes part in a comparison. */
export interface Contender<Measured> {
  /** For people. */
  readonly label: string;
  /** Whether the benchmark fails when this one does; if not, it is left out. */
  readonly required: boolean;
  measure(): Promise<Measured>;
}

/**
 * Measures all contenders in each round, in alternating order. One that fails and is not required is left out from
 * then on.
 *
 * @param onMeasured called after each measurement, with the round from 0
 * @returns what was measured of each, round by round
 * @throws as the required contenders
 */
export async function measureInRounds<Measured, Item extends Contender<Measured>>(
  contenders: readonly Item[],
  rounds: number,
  reporter: Reporter,
  onMeasured: (contender: Item, measured: Measured, round: number) => void,
): Promise<Map<Item, Measured[]>> {
  const results = new Map<Item, Measured[]>(contenders.map((contender) => [contender, []]));
  for (let round = 0; round < rounds; round++) {
    for (const contender of inTurns([...results.keys()], round)) {
      try {
        const measured = await contender.measure();
        results.get(contender)?.push(measured);
        onMeasured(contender, measured, round);
      } catch (error) {
        const expected = ["environment", "resourceExhausted"].includes(codeOf(error));
        if (contender.required || !expected) throw error;
        reporter.warn(`left out: ${messageOf(error)}`);
        results.delete(contender);
      }
    }
  }
  return results;
}
