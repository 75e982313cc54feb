import { DownpourError } from "@downpour/errors";

/** Elements of an int8 or 1-bit block. */
export const blockLength = 1024;

/** Bytes of n elements as int8: a scale per block, then the bytes. */
export function int8Bytes(elements: number): number {
  return 4 * Math.ceil(elements / blockLength) + elements;
}

/** Bytes of n elements as 1-bit: two means per block, then the signs. */
export function oneBitBytes(elements: number): number {
  const whole = Math.floor(elements / blockLength);
  const rest = elements % blockLength;
  return whole * (8 + blockLength / 8) + (rest > 0 ? 8 + Math.ceil(rest / 8) : 0);
}

/** @throws DownpourError internal unless all lengths are the first one */
export function requireLength(expected: number, found: number, what: string): void {
  if (found !== expected) {
    throw new DownpourError(
      "internal",
      `${what}: an array has length ${found}, the others ask for ${expected}`,
      {
        facts: { expected, found },
      },
    );
  }
}
