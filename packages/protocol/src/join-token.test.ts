import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { JoinToken, makeJoinToken, readJoinToken, writeJoinToken } from "./join-token.ts";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "downpour-token-"));
});

afterAll(() => rmSync(folder, { recursive: true }));

test("tokens are 43 characters of base64url, each another one", () => {
  const made = Array.from({ length: 100 }, makeJoinToken);
  for (const text of made) expect(text).toMatch(/^[A-Za-z0-9_-]{43}$/);
  expect(new Set(made).size).toBe(made.length);
});

test("a token is written for its owner only, read back, and not overwritten", async () => {
  const file = join(folder, "join-token");
  await writeJoinToken(file);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const text = readFileSync(file, "utf8");
  const token = await readJoinToken(file);
  expect(token.toHeader()).toBe(`Bearer ${text.trim()}`);
  await expect(writeJoinToken(file)).rejects.toMatchObject({
    code: "usage",
    message: expect.stringContaining(`${file} exists already`),
  });
  expect(readFileSync(file, "utf8")).toBe(text);
});

test("only the same token with its scheme is taken for the token", () => {
  const text = makeJoinToken();
  const token = new JoinToken(text, "a test");
  expect(token.isSentAs(`Bearer ${text}`)).toBe(true);
  expect(token.isSentAs(new JoinToken(`\n ${text}\r\n`, "a test").toHeader())).toBe(true);
  const flipped = `${text.slice(0, -1)}${text.endsWith("A") ? "E" : "A"}`;
  for (const other of [
    "",
    text,
    "Bearer ",
    `Bearer ${flipped}`,
    `Bearer ${text}A`,
    `Bearer ${text.slice(1)}`,
  ]) {
    expect(token.isSentAs(other), other.replace(text, "TOKEN")).toBe(false);
  }
});

test("neither text, JSON nor the console show the token", () => {
  const text = makeJoinToken();
  const token = new JoinToken(text, "a test");
  const shown = [
    `${token}`,
    String(token),
    JSON.stringify({ token }),
    inspect({ token }, { showHidden: true }),
  ];
  for (const what of shown) expect(what).not.toContain(text);
});

test.each([
  ["nothing", ""],
  ["white space", " \n"],
  ["too short", "short-secret-9431"],
  ["characters that a header can't carry", `secret-9431-${"ü".repeat(40)}`],
  ["two lines", `secret-9431-${"a".repeat(40)}\nsecret-9431-${"b".repeat(40)}`],
  ["too long", "secret-9431".repeat(50)],
])("refuses a token of %s, naming its source and not the text", async (_, text) => {
  const file = join(folder, "wrong");
  writeFileSync(file, text);
  const error = await readJoinToken(file).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "environment", message: expect.stringContaining(file) });
  expect(inspect(error)).not.toContain("9431");
});

test("a file that is missing is named, with the command that makes one", async () => {
  await expect(readJoinToken(join(folder, "none"))).rejects.toMatchObject({
    code: "environment",
    message: expect.stringMatching(/none: ENOENT.*downpour certs token/),
  });
});

test("a folder that is missing is made; one that can't be is named", async () => {
  const file = join(folder, "new", "token");
  await writeJoinToken(file);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  await expect(writeJoinToken(join(file, "token"))).rejects.toMatchObject({
    code: "usage",
    message: expect.stringMatching(/can't write the join token .*token.token.*--dir/),
  });
});
