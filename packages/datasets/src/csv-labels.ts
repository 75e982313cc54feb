import { type CsvPlace, cellError } from "./csv-rows.ts";
import { classCountMax, labelArray } from "./data-files.ts";

/** The labels of one file while it is read: each different text once, with the place where it came first. */
export interface LabelTexts {
  readonly texts: readonly { readonly text: string; readonly place: CsvPlace }[];
  /** For each row, its text. */
  readonly rows: readonly number[];
  /** @throws DownpourError `corruptData` for an empty cell, or more texts than there may be classes */
  add(text: string, place: CsvPlace): void;
}

export function createLabelTexts(): LabelTexts {
  const texts: { text: string; place: CsvPlace }[] = [];
  const rows: number[] = [];
  const indexOf = new Map<string, number>();
  return {
    texts,
    rows,
    add(text, place) {
      let index = indexOf.get(text);
      if (index === undefined) {
        if (text === "") throw cellError(place, text, "a label", "fill it in, or remove the row");
        if (texts.length === classCountMax) {
          throw cellError(
            place,
            text,
            `at most ${classCountMax} different labels`,
            "name the column with the label by labelColumn",
          );
        }
        index = texts.length;
        indexOf.set(text, index);
        texts.push({ text, place });
      }
      rows.push(index);
    },
  };
}

/** Classes of a data set, and the labels of its files. */
export interface ResolvedLabels {
  readonly classNames: readonly string[];
  readonly labels: readonly (Uint8Array | Uint16Array)[];
}

/**
 * Turns the labels' texts into class indices. All files have one kind: names of classes, or integers from 0. Without
 * given names, integers give the classes 0 to the highest, and names the classes in the order of their UTF-16 codes.
 *
 * @throws DownpourError `corruptData` for the first text that is neither, or of another kind than the others
 */
export function resolveLabels(files: readonly LabelTexts[], given?: readonly string[]): ResolvedLabels {
  const all = files.flatMap(({ texts }) => texts);
  const classNames = given ?? findClassNames(all);
  const indexOfName = new Map(classNames.map((name, i) => [name, i]));
  const isNamed = all.every(({ text }) => indexOfName.has(text));
  const indexOf = (text: string) => {
    const index = isNamed ? indexOfName.get(text) : indexOfInteger(text);
    return index !== undefined && index < classNames.length ? index : undefined;
  };
  const wrong = all.find(({ text }) => indexOf(text) === undefined);
  if (wrong !== undefined) {
    const odd = all.find(({ text }) => !indexOfName.has(text) && !isInteger(text)) ?? wrong;
    throw cellError(
      odd.place,
      odd.text,
      `one of the ${classNames.length} class names or, in all rows, an integer from 0 to ${classNames.length - 1}`,
      "correct the label or classNames",
    );
  }
  const labels = files.map(({ texts, rows }) => {
    const indices = texts.map(({ text }) => indexOf(text) ?? 0);
    return labelArray(
      rows.map((row) => indices[row] ?? 0),
      classNames.length,
    );
  });
  return { classNames, labels };
}

function findClassNames(all: LabelTexts["texts"]): string[] {
  const isNumbered = all.some(({ text }) => isInteger(text));
  const odd = all.find(({ text }) => (isNumbered ? !isInteger(text) : isNumber(text)));
  if (odd !== undefined) {
    const expected = isNumbered
      ? "an integer from 0 as in other rows"
      : "an integer from 0 or the name of a class";
    throw cellError(odd.place, odd.text, expected, "correct it, or list the classNames");
  }
  if (!isNumbered) return [...new Set(all.map(({ text }) => text))].sort();
  let max = 0;
  for (const { text, place } of all) {
    const index = indexOfInteger(text);
    if (index >= classCountMax) {
      const expected = `an integer from 0 to ${classCountMax - 1}`;
      throw cellError(place, text, expected, "name the column with the label by labelColumn");
    }
    max = Math.max(max, index);
  }
  return Array.from({ length: max + 1 }, (_, i) => `${i}`);
}

function isInteger(text: string): boolean {
  return /^\d+$/.test(text);
}

function isNumber(text: string): boolean {
  return Number.isFinite(Number(text));
}

function indexOfInteger(text: string): number {
  return isInteger(text) ? Number(text) : Number.POSITIVE_INFINITY;
}
