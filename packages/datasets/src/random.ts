/**
 * The one source of randomness of this package: xoshiro128** (Blackman and Vigna, "Scrambled linear
 * pseudorandom number generators", 2018), seeded through the 32-bit finalizer of MurmurHash3 in splitmix
 * fashion. 32-bit integer arithmetic only, so every machine draws the same numbers.
 */
export interface Random {
  /** The next 32 bits, as an integer in [0, 2^32). */
  bits(): number;
  /** Uniform in [0, 1), a multiple of 2^-32. */
  uniform(): number;
  /** Uniform integer in [0, bound), without bias. `bound` is an integer in [1, 2^32]. */
  integer(bound: number): number;
  /** Standard normal, by the polar form of Box and Muller (Marsaglia and Bray 1964). */
  normal(): number;
}

const goldenRatio = 0x9e3779b9;
const twoTo32 = 2 ** 32;

/** Finalizer of MurmurHash3: a bijection of 32-bit integers in which every input bit moves every output bit. */
function mix32(value: number): number {
  let z = value | 0;
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
  return z ^ (z >>> 16);
}

/**
 * A generator whose whole sequence is a function of `seeds`, their order and their count.
 *
 * The state is four 32-bit lanes. Lane k starts at (k+1) times the golden ratio and takes in every seed as two
 * words, low and high: lane <- mix32((lane ^ word) + golden ratio). 128 bits of state keep the sequences of
 * (seed, split, example) apart, where 32 bits would repeat within 100,000 examples.
 *
 * @param seeds safe integers; negative ones count as their two's complement over 64 bits
 */
export function createRandom(...seeds: readonly number[]): Random {
  const state = new Int32Array(4);
  const words = wordsOf(seeds);
  for (let lane = 0; lane < 4; lane++) {
    let hash = Math.imul(lane + 1, goldenRatio);
    for (const word of words) hash = mix32((hash ^ word) + goldenRatio);
    state[lane] = hash;
  }
  return randomFromState(state);
}

function wordsOf(seeds: readonly number[]): number[] {
  const words = [seeds.length];
  for (const seed of seeds) words.push(seed | 0, Math.floor(seed / twoTo32) | 0);
  return words;
}

/**
 * xoshiro128** from a given state, which it owns from then on. The all-zero state, a fixed point of the
 * recurrence, is replaced by (1, 0, 0, 0).
 */
export function randomFromState(state: Int32Array): Random {
  let [s0 = 0, s1 = 0, s2 = 0, s3 = 0] = state;
  if ((s0 | s1 | s2 | s3) === 0) s0 = 1;

  const bits = (): number => {
    const product = Math.imul(s1, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9);
    const shifted = s1 << 9;
    s2 ^= s0;
    s3 ^= s1;
    s1 ^= s2;
    s0 ^= s3;
    s2 ^= shifted;
    s3 = (s3 << 11) | (s3 >>> 21);
    return result >>> 0;
  };

  const integer = (bound: number): number => {
    const accepted = twoTo32 - (twoTo32 % bound);
    let draw = bits();
    while (draw >= accepted) draw = bits();
    return draw % bound;
  };

  const normal = (): number => {
    for (;;) {
      const u = (2 * bits()) / twoTo32 - 1;
      const v = (2 * bits()) / twoTo32 - 1;
      const square = u * u + v * v;
      if (square > 0 && square < 1) return u * Math.sqrt((-2 * Math.log(square)) / square);
    }
  };

  return { bits, uniform: () => bits() / twoTo32, integer, normal };
}
