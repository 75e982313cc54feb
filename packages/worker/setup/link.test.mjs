import fs from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";
import { linkFolder } from "./link.mjs";
import { temporaryFolder } from "./test-fixtures.mjs";

it("links once, and leaves a right link alone", () => {
  const folder = temporaryFolder();
  const link = path.join(folder, "lib", "napi-v8");
  expect(linkFolder("/somewhere", link)).toBe(true);
  const { ino } = fs.lstatSync(link);
  expect(linkFolder("/somewhere", link)).toBe(false);
  expect(fs.lstatSync(link).ino).toBe(ino);
  expect(fs.readdirSync(path.dirname(link))).toEqual(["napi-v8"]);
});

it("replaces a link to another place, and a folder", () => {
  const folder = temporaryFolder();
  const link = path.join(folder, "deps");
  linkFolder("/one", link);
  expect(linkFolder("/two", link)).toBe(true);
  expect(fs.readlinkSync(link)).toBe("/two");
  fs.rmSync(link);
  fs.mkdirSync(path.join(link, "lib"), { recursive: true });
  expect(linkFolder("/three", link)).toBe(true);
  expect(fs.readlinkSync(link)).toBe("/three");
  expect(fs.readdirSync(folder)).toEqual(["deps"]);
});
