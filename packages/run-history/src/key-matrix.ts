/** A matrix as plain data for JSON. */
export interface MatrixSnapshot {
  readonly rowsPerBucket: number;
  readonly lastBucketRows: number;
  readonly timeMs: readonly number[];
  readonly epoch: readonly number[];
  /** Sums by key, bucket by bucket. */
  readonly sums: Readonly<Record<string, readonly number[]>>;
  /** Values in each sum. */
  readonly counts: Readonly<Record<string, readonly number[]>>;
}

/**
 * Figures over time for keys that come and go (workers, values of staleness), in bounded memory: as a BucketTable, with
 * sums alone.
 */
export class KeyMatrix {
  readonly bucketsMax: number;
  readonly keysMax: number;
  readonly timeMs: number[] = [];
  readonly epoch: number[] = [];
  readonly #sums = new Map<string, number[]>();
  readonly #counts = new Map<string, number[]>();
  #rows = 0;
  #rowsPerBucket = 1;
  #lastBucketRows = 0;

  constructor(bucketsMax: number, keysMax: number) {
    this.bucketsMax = bucketsMax;
    this.keysMax = keysMax;
  }

  static restore(bucketsMax: number, keysMax: number, snapshot: MatrixSnapshot): KeyMatrix {
    const matrix = new KeyMatrix(bucketsMax, keysMax);
    matrix.timeMs.push(...snapshot.timeMs);
    matrix.epoch.push(...snapshot.epoch);
    for (const [key, sums] of Object.entries(snapshot.sums)) matrix.#sums.set(key, [...sums]);
    for (const [key, counts] of Object.entries(snapshot.counts)) matrix.#counts.set(key, [...counts]);
    matrix.#rowsPerBucket = snapshot.rowsPerBucket;
    matrix.#lastBucketRows = snapshot.lastBucketRows;
    return matrix;
  }

  get keys(): string[] {
    return [...this.#sums.keys()];
  }

  /** Rows added to this object so far. */
  get rows(): number {
    return this.#rows;
  }

  get length(): number {
    return this.timeMs.length;
  }

  /** Adds a row; of new keys beyond `keysMax` the one that was added first makes room. */
  add(timeMs: number, epoch: number, values: Readonly<Record<string, number>>): void {
    if (this.length === 0 || this.#lastBucketRows === this.#rowsPerBucket) this.#open(timeMs, epoch);
    const at = this.length - 1;
    for (const [key, value] of Object.entries(values)) {
      if (!Number.isFinite(value)) continue;
      const [sums, counts] = this.#cellsOf(key);
      sums[at] = (sums[at] ?? 0) + value;
      counts[at] = (counts[at] ?? 0) + 1;
    }
    this.#rows += 1;
    this.#lastBucketRows += 1;
  }

  /** Sums of a key, bucket by bucket. */
  sums(key: string): readonly number[] {
    return this.#sums.get(key) ?? [];
  }

  /** Means of a key; null where it had no value. */
  means(key: string): (number | null)[] {
    const counts = this.#counts.get(key) ?? [];
    return this.sums(key).map((sum, i) => (counts[i] ? sum / counts[i] : null));
  }

  snapshot(): MatrixSnapshot {
    const plain = (cells: ReadonlyMap<string, readonly number[]>) =>
      Object.fromEntries([...cells].map(([key, values]) => [key, values.map(short)]));
    return {
      rowsPerBucket: this.#rowsPerBucket,
      lastBucketRows: this.#lastBucketRows,
      timeMs: [...this.timeMs],
      epoch: this.epoch.map(short),
      sums: plain(this.#sums),
      counts: plain(this.#counts),
    };
  }

  #cellsOf(key: string): [number[], number[]] {
    let sums = this.#sums.get(key);
    let counts = this.#counts.get(key);
    if (sums === undefined || counts === undefined) {
      const [oldest] = this.#sums.keys();
      if (this.#sums.size >= this.keysMax && oldest !== undefined) {
        this.#sums.delete(oldest);
        this.#counts.delete(oldest);
      }
      sums = new Array<number>(this.length).fill(0);
      counts = new Array<number>(this.length).fill(0);
      this.#sums.set(key, sums);
      this.#counts.set(key, counts);
    }
    return [sums, counts];
  }

  #open(timeMs: number, epoch: number): void {
    if (this.length >= this.bucketsMax) this.#halve();
    if (this.length > 0 && this.#lastBucketRows < this.#rowsPerBucket) return;
    this.timeMs.push(timeMs);
    this.epoch.push(epoch);
    for (const cells of [...this.#sums.values(), ...this.#counts.values()]) cells.push(0);
    this.#lastBucketRows = 0;
  }

  #halve(): void {
    const paired = this.length % 2 === 0;
    const halves = Math.ceil(this.length / 2);
    for (const cells of [...this.#sums.values(), ...this.#counts.values()]) {
      for (let i = 0; i < halves; i++) cells[i] = (cells[2 * i] ?? 0) + (cells[2 * i + 1] ?? 0);
      cells.length = halves;
    }
    // A bucket begins where its first row does.
    for (const starts of [this.timeMs, this.epoch]) {
      for (let i = 0; i < halves; i++) starts[i] = starts[2 * i] ?? 0;
      starts.length = halves;
    }
    this.#lastBucketRows += paired ? this.#rowsPerBucket : 0;
    this.#rowsPerBucket *= 2;
  }
}

function short(value: number): number {
  return Number.isInteger(value) ? value : Number(value.toPrecision(7));
}
