import { expect, test } from "vitest";
import { createLabelTexts, resolveLabels } from "./csv-labels.ts";

/** The labels of files, their first row being line 2. */
function resolve(files: readonly (readonly string[])[], given?: readonly string[]) {
  const texts = files.map((labels, i) => {
    const file = createLabelTexts();
    for (const [row, text] of labels.entries()) {
      file.add(text, { path: `${i}.csv`, line: row + 2, column: "label" });
    }
    return file;
  });
  const { classNames, labels } = resolveLabels(texts, given);
  return { classNames, labels: labels.map((some) => [...some]) };
}

test("integers give the classes 0 to the highest of all files", () => {
  expect(resolve([["2", "0", "02"], ["3"]])).toEqual({
    classNames: ["0", "1", "2", "3"],
    labels: [[2, 0, 2], [3]],
  });
});

test("names give the classes of all files, sorted", () => {
  expect(
    resolve([
      ["dog", "cat", "dog"],
      ["ant", "Zebra"],
    ]),
  ).toEqual({
    classNames: ["Zebra", "ant", "cat", "dog"],
    labels: [
      [3, 2, 3],
      [1, 0],
    ],
  });
});

test("with given names, labels are those names or integers below their number", () => {
  const given = ["dog", "cat", "bird"];
  expect(resolve([["cat"], ["dog", "cat"]], given)).toEqual({ classNames: given, labels: [[1], [0, 1]] });
  expect(resolve([["2"], ["0"]], given)).toEqual({ classNames: given, labels: [[2], [0]] });
});

test("names that are numbers stand for themselves where all labels are names", () => {
  expect(resolve([["7", "3"], ["3"]], ["3", "7"]).labels).toEqual([[1, 0], [0]]);
  expect(resolve([["0", "1"], ["2"]], ["1", "2", "3"]).labels).toEqual([[0, 1], [2]]);
});

test("a label that is no class is refused with file, line, value and what was expected", () => {
  expect(() => resolve([["cat"], ["dog", "bird"]], ["cat", "dog"])).toThrow(
    '1.csv, line 3: the column label has "bird", expected one of the 2 class names or, in all rows, an integer ' +
      "from 0 to 1: correct the label or classNames",
  );
  expect(() => resolve([["0", "2"]], ["cat", "dog"])).toThrow('0.csv, line 3: the column label has "2"');
  expect(() => resolve([["cat", "1"]], ["cat", "dog"])).toThrow("in all rows, an integer");
});

test("labels of two kinds, numbers that are no integers and empty labels are refused", () => {
  expect(() => resolve([["0", "1"], ["cat"]])).toThrow(
    '1.csv, line 2: the column label has "cat", expected an integer',
  );
  for (const text of ["-1", "1.5", "1e3"]) {
    expect(() => resolve([["0", text]]), text).toThrow(`line 3: the column label has "${text}"`);
    expect(() => resolve([["cat", text]]), text).toThrow(`line 3: the column label has "${text}"`);
  }
  expect(() => resolve([["0", ""]])).toThrow('line 3: the column label has "", expected a label');
});

test("labels are at most 65,535, and at most 65,536 differ", () => {
  expect(resolve([["65535"]]).classNames).toHaveLength(65_536);
  expect(() => resolve([["65536"]])).toThrow("expected an integer from 0 to 65535: name the column");
  const many = Array.from({ length: 65_537 }, (_, i) => `class ${i}`);
  expect(() => resolve([many])).toThrow("expected at most 65536 different labels");
  expect(() => resolve([many.slice(1), many.slice(0, 1)])).toThrow("there are 65537 classes");
  expect(resolve([many.slice(1)]).labels[0]).toHaveLength(65_536);
});
