import { DownpourError } from "@downpour/errors";

/**
 * A set of small integers, one bit each, least significant bit first within a byte.
 *
 * As text it is base64 of the bytes without trailing zero bytes, so that an empty set is an empty string.
 */
export class Bitmap {
  readonly size: number;
  readonly #bytes: Uint8Array;
  #count = 0;

  /** @param size numbers 0 to size - 1 can be held */
  constructor(size: number) {
    this.size = size;
    this.#bytes = new Uint8Array(Math.ceil(size / 8));
  }

  /** How many numbers are in the set. */
  get count(): number {
    return this.#count;
  }

  has(index: number): boolean {
    return ((this.#bytes[index >> 3] ?? 0) & (1 << (index & 7))) !== 0;
  }

  /** Puts a number in. Returns false if it was in already. */
  add(index: number): boolean {
    if (index < 0 || index >= this.size) {
      throw new DownpourError("internal", `bit ${index} is outside a bitmap of ${this.size} bits`, {
        facts: { index, size: this.size },
      });
    }
    if (this.has(index)) return false;
    this.#bytes[index >> 3] = (this.#bytes[index >> 3] ?? 0) | (1 << (index & 7));
    this.#count += 1;
    return true;
  }

  /** Takes a number out. Returns false if it was not in. */
  remove(index: number): boolean {
    if (!this.has(index)) return false;
    this.#bytes[index >> 3] = (this.#bytes[index >> 3] ?? 0) & ~(1 << (index & 7));
    this.#count -= 1;
    return true;
  }

  /** The numbers in the set, ascending. */
  toArray(): number[] {
    const members: number[] = [];
    for (const [at, byte] of this.#bytes.entries()) {
      for (let bit = 0, rest = byte; rest !== 0; bit += 1, rest >>= 1) {
        if ((rest & 1) !== 0) members.push(at * 8 + bit);
      }
    }
    return members;
  }

  /** Takes out every number that is not in the other set, which must be of the same size. */
  intersectInPlace(other: Bitmap): void {
    if (other.size !== this.size) {
      throw new DownpourError("internal", `a bitmap of ${this.size} bits meets one of ${other.size}`, {
        facts: { size: this.size, other: other.size },
      });
    }
    this.#count = 0;
    for (const [at, byte] of this.#bytes.entries()) {
      const common = byte & (other.#bytes[at] ?? 0);
      this.#bytes[at] = common;
      for (let rest = common; rest !== 0; rest &= rest - 1) this.#count += 1;
    }
  }

  /** Base64 of the bytes, trailing zero bytes left out. */
  toBase64(): string {
    let length = this.#bytes.length;
    while (length > 0 && this.#bytes[length - 1] === 0) length -= 1;
    return Buffer.from(this.#bytes.buffer, 0, length).toString("base64");
  }

  /**
   * The inverse of toBase64.
   * @throws DownpourError corruptData when the text holds a number that is not below `size`
   */
  static fromBase64(size: number, text: string): Bitmap {
    const bitmap = new Bitmap(size);
    const bytes = Buffer.from(text, "base64");
    for (const [at, byte] of bytes.entries()) {
      for (let bit = 0, rest = byte; rest !== 0; bit += 1, rest >>= 1) {
        if ((rest & 1) === 0) continue;
        const index = at * 8 + bit;
        if (index >= size) {
          throw new DownpourError("corruptData", `a stored bitmap of ${size} bits holds bit ${index}`, {
            facts: { index, size },
          });
        }
        bitmap.add(index);
      }
    }
    return bitmap;
  }
}
