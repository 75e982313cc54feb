/** One column of a table, bucket by bucket; null where a bucket has no value. */
export interface ColumnSnapshot {
  readonly mean: readonly (number | null)[];
  /** Left out where each bucket holds one row: all three are the mean, or nothing. */
  readonly min?: readonly (number | null)[];
  readonly max?: readonly (number | null)[];
  /** Rows of the bucket that had a value. */
  readonly count?: readonly number[];
}

/** A table as plain data for JSON. */
export interface TableSnapshot {
  /** Rows added so far. */
  readonly rows: number;
  readonly rowsPerBucket: number;
  /** Rows in the last bucket. */
  readonly lastBucketRows: number;
  readonly columns: Readonly<Record<string, ColumnSnapshot>>;
}

interface Column {
  readonly sum: number[];
  readonly count: number[];
  readonly min: number[];
  readonly max: number[];
}

/**
 * Any number of rows of figures in bounded memory: rows fall into buckets that keep mean, minimum and maximum of each
 * column. When there are too many buckets, neighbours are merged, and from then on each takes twice as many rows. So
 * a peak stays visible, however long a run is.
 */
export class BucketTable<Name extends string> {
  readonly names: readonly Name[];
  readonly bucketsMax: number;
  readonly #columns: Readonly<Record<Name, Column>>;
  #rows = 0;
  #rowsPerBucket = 1;
  #lastBucketRows = 0;
  #length = 0;

  /** @param bucketsMax an even number */
  constructor(names: readonly Name[], bucketsMax: number) {
    this.names = names;
    this.bucketsMax = bucketsMax;
    const columns = names.map((name) => [name, { sum: [], count: [], min: [], max: [] }]);
    this.#columns = Object.fromEntries(columns) as Record<Name, Column>;
  }

  /** The table that a snapshot was taken of; columns that it lacks are empty. */
  static restore<Name extends string>(
    names: readonly Name[],
    bucketsMax: number,
    snapshot: TableSnapshot,
  ): BucketTable<Name> {
    const table = new BucketTable(names, bucketsMax);
    table.#rows = snapshot.rows;
    table.#rowsPerBucket = snapshot.rowsPerBucket;
    table.#lastBucketRows = snapshot.lastBucketRows;
    table.#length = Math.max(0, ...Object.values(snapshot.columns).map(({ mean }) => mean.length));
    for (const name of names) {
      const { mean, min = mean, max = mean, count } = snapshot.columns[name] ?? { mean: [] };
      const column = table.#columns[name];
      for (let i = 0; i < table.#length; i++) {
        const value = mean[i] ?? null;
        const n = count?.[i] ?? (value === null ? 0 : 1);
        column.sum.push((value ?? 0) * n);
        column.count.push(n);
        column.min.push(min[i] ?? Number.POSITIVE_INFINITY);
        column.max.push(max[i] ?? Number.NEGATIVE_INFINITY);
      }
    }
    while (table.#length > bucketsMax) table.#halve();
    return table;
  }

  /** Buckets in use. */
  get length(): number {
    return this.#length;
  }

  get rows(): number {
    return this.#rows;
  }

  /** Adds a row; null and what is not finite is no value. */
  add(row: Readonly<Partial<Record<Name, number | null>>>): void {
    if (this.#length === 0 || this.#lastBucketRows === this.#rowsPerBucket) this.#open();
    const at = this.#length - 1;
    for (const name of this.names) {
      const value = row[name];
      if (value === undefined || value === null || !Number.isFinite(value)) continue;
      const { sum, count, min, max } = this.#columns[name];
      sum[at] = (sum[at] ?? 0) + value;
      count[at] = (count[at] ?? 0) + 1;
      min[at] = Math.min(min[at] ?? value, value);
      max[at] = Math.max(max[at] ?? value, value);
    }
    this.#rows += 1;
    this.#lastBucketRows += 1;
  }

  /** A column's means, bucket by bucket. */
  means(name: Name): (number | null)[] {
    const { sum, count } = this.#columns[name];
    return sum.map((total, i) => (count[i] === 0 ? null : total / (count[i] ?? 1)));
  }

  minima(name: Name): (number | null)[] {
    return this.#columns[name].min.map(finiteOrNull);
  }

  maxima(name: Name): (number | null)[] {
    return this.#columns[name].max.map(finiteOrNull);
  }

  snapshot(): TableSnapshot {
    const whole = this.#rowsPerBucket === 1;
    const columns = this.names.map((name): [string, ColumnSnapshot] => {
      const mean = this.means(name).map(rounded);
      if (whole) return [name, { mean }];
      const min = this.minima(name).map(rounded);
      const max = this.maxima(name).map(rounded);
      return [name, { mean, min, max, count: [...this.#columns[name].count] }];
    });
    return {
      rows: this.#rows,
      rowsPerBucket: this.#rowsPerBucket,
      lastBucketRows: this.#lastBucketRows,
      columns: Object.fromEntries(columns),
    };
  }

  #open(): void {
    if (this.#length >= this.bucketsMax) this.#halve();
    // The last bucket may be half full now.
    if (this.#length > 0 && this.#lastBucketRows < this.#rowsPerBucket) return;
    for (const name of this.names) {
      const { sum, count, min, max } = this.#columns[name];
      sum.push(0);
      count.push(0);
      min.push(Number.POSITIVE_INFINITY);
      max.push(Number.NEGATIVE_INFINITY);
    }
    this.#length += 1;
    this.#lastBucketRows = 0;
  }

  /** Merges each two neighbours. */
  #halve(): void {
    const halves = Math.ceil(this.#length / 2);
    for (const name of this.names) {
      const { sum, count, min, max } = this.#columns[name];
      for (let i = 0; i < halves; i++) {
        sum[i] = (sum[2 * i] ?? 0) + (sum[2 * i + 1] ?? 0);
        count[i] = (count[2 * i] ?? 0) + (count[2 * i + 1] ?? 0);
        min[i] = Math.min(min[2 * i] ?? Number.POSITIVE_INFINITY, min[2 * i + 1] ?? Number.POSITIVE_INFINITY);
        max[i] = Math.max(max[2 * i] ?? Number.NEGATIVE_INFINITY, max[2 * i + 1] ?? Number.NEGATIVE_INFINITY);
      }
      for (const cells of [sum, count, min, max]) cells.length = halves;
    }
    const paired = this.#length % 2 === 0;
    this.#lastBucketRows += paired ? this.#rowsPerBucket : 0;
    this.#length = halves;
    this.#rowsPerBucket *= 2;
  }
}

function finiteOrNull(value: number): number | null {
  return Number.isFinite(value) ? value : null;
}

/** Integers as they are, others to 7 digits: enough for a chart, and half the text. */
function rounded(value: number | null): number | null {
  if (value === null || Number.isInteger(value)) return value;
  return Math.abs(value) > 1e9 ? Math.round(value) : Number(value.toPrecision(7));
}
