import { createRandom } from "./random.ts";

/** Sets the sequences of this use apart from those of others with the same seed. */
const epochOrderStream = 0x0e70c4;

/**
 * The order of one epoch: a permutation of 0..count-1 that depends on (seed, epoch) alone, by the shuffle of Fisher
 * and Yates (Knuth, "The Art of Computer Programming", volume 2, algorithm 3.4.2 P) on `createRandom`.
 *
 * @param seed a safe integer
 * @param epoch a safe integer
 * @param count examples, 0 to 2^32
 */
export function epochOrder(seed: number, epoch: number, count: number): Uint32Array {
  const random = createRandom(epochOrderStream, seed, epoch);
  const order = Uint32Array.from({ length: count }, (_, index) => index);
  for (let last = count - 1; last > 0; last--) {
    const chosen = random.integer(last + 1);
    const moved = order[last] ?? 0;
    order[last] = order[chosen] ?? 0;
    order[chosen] = moved;
  }
  return order;
}
