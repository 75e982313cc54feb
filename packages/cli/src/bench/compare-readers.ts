import type { ReadBatch } from "./input-programs.ts";
import { inTurns, median, medianRatio } from "./statistics.ts";

/** How fast one reader was in one round. */
export interface ReaderRound {
  readonly imagesPerSecond: number;
  /** Per second of CPU time, over all threads: what one core reads. */
  readonly imagesPerCpuSecond: number;
}

/** Medians over the rounds, and the rounds. */
export interface ReaderResult extends ReaderRound {
  readonly rounds: readonly ReaderRound[];
}

/** What to read in each round. */
export interface ReadingPlan {
  readonly rounds: number;
  /** Batches that each reader reads in a round. */
  readonly steps: number;
  readonly batchesPerEpoch: number;
}

/**
 * Lets both readers read the same batches in turns, batch by batch, so that whatever else the machine does falls on
 * both. The first round warms up and does not count.
 */
export async function compareReaders(
  ours: ReadBatch,
  bare: ReadBatch,
  { rounds, steps, batchesPerEpoch }: ReadingPlan,
): Promise<{ ours: ReaderResult; bare: ReaderResult; ratio: number; ratioByCpuTime: number }> {
  const clocks = [new ReaderClock(ours), new ReaderClock(bare)] as const;
  for (let round = 0; round <= rounds; round++) {
    for (let step = 0; step < steps; step++) {
      const reading = round * steps + step;
      for (const clock of inTurns(clocks, reading)) {
        await clock.read(Math.floor(reading / batchesPerEpoch), reading % batchesPerEpoch);
      }
    }
    for (const clock of clocks) clock.endRound(round > 0);
  }
  const [ourRounds, bareRounds] = [clocks[0].rounds, clocks[1].rounds];
  const bySpeed = (all: readonly ReaderRound[]) => all.map(({ imagesPerSecond }) => imagesPerSecond);
  const byCpu = (all: readonly ReaderRound[]) => all.map(({ imagesPerCpuSecond }) => imagesPerCpuSecond);
  const resultOf = (all: readonly ReaderRound[]): ReaderResult => ({
    imagesPerSecond: median(bySpeed(all)),
    imagesPerCpuSecond: median(byCpu(all)),
    rounds: all,
  });
  return {
    ours: resultOf(ourRounds),
    bare: resultOf(bareRounds),
    ratio: medianRatio(bySpeed(ourRounds), bySpeed(bareRounds)),
    ratioByCpuTime: medianRatio(byCpu(ourRounds), byCpu(bareRounds)),
  };
}

/** Sums up what one reader reads and takes in a round. */
class ReaderClock {
  readonly rounds: ReaderRound[] = [];
  readonly #read: ReadBatch;
  #images = 0;
  #wallMs = 0;
  #cpuMs = 0;

  constructor(read: ReadBatch) {
    this.#read = read;
  }

  async read(epoch: number, batch: number): Promise<void> {
    const cpuStart = process.cpuUsage();
    const wallStart = performance.now();
    this.#images += await this.#read(epoch, batch);
    this.#wallMs += performance.now() - wallStart;
    const { user, system } = process.cpuUsage(cpuStart);
    this.#cpuMs += (user + system) / 1000;
  }

  endRound(counts: boolean): void {
    const images = this.#images * 1000;
    if (counts) {
      this.rounds.push({
        imagesPerSecond: images / this.#wallMs,
        imagesPerCpuSecond: images / this.#cpuMs,
      });
    }
    this.#images = 0;
    this.#wallMs = 0;
    this.#cpuMs = 0;
  }
}
