import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { asTested } from "./commands.mjs";
import { followPage } from "./follow-page.mjs";

const fence = "```";
const block = (info, text) => `${fence}${info}\n${text}\n${fence}\n`;

describe("following a page", () => {
  let folder;
  let said;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "downpour-follow-"));
    said = [];
  });

  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const follow = (markdown, given = {}) =>
    followPage(markdown, "P.md", {
      ...{ folder, variables: process.env, dataDirectory: undefined, without: undefined, timeoutMs: 60_000 },
      say: (line) => said.push(line),
      ...given,
    });

  it("saves files and runs commands in order, in the folder", async () => {
    const page =
      block("txt file=a.txt", "one") + block("sh", "cat a.txt > b.txt   # copies\necho two >> b.txt");
    expect(await follow(page)).toEqual({ passed: 2, failed: 0, leftOut: 0 });
    expect(readFileSync(join(folder, "b.txt"), "utf8")).toBe("one\ntwo\n");
  });

  it("counts a command that fails, shows what it printed, and goes on", async () => {
    const page = block("sh", "echo because && false\ntrue");
    expect(await follow(page)).toEqual({ passed: 1, failed: 1, leftOut: 0 });
    expect(said.join("\n")).toContain("| because");
  });

  it("ends a command once it has printed a text, and fails one that ends before", async () => {
    const endless = block('sh until="rea"', "echo ready && exec sleep 600");
    expect(await follow(endless)).toMatchObject({ passed: 1, failed: 0 });
    expect(await follow(block('sh until="rea"', "echo over"))).toMatchObject({ passed: 0, failed: 1 });
  });

  it("ends a command that takes too long, and fails it", async () => {
    expect(await follow(block("sh", "exec sleep 600"), { timeoutMs: 200 })).toMatchObject({ failed: 1 });
    expect(said.join("\n")).toContain("took longer than 0.2 s");
  });

  it("runs a command beside the next one, and waits for both", async () => {
    // Each waits for the other's file, so neither ends alone.
    const wait = (name) => `until [ -e ${name} ]; do sleep 0.05; done`;
    const page = block("sh beside", `touch a; ${wait("b")}`) + block("sh", `${wait("a")}; touch b`);
    expect(await follow(page)).toEqual({ passed: 2, failed: 0, leftOut: 0 });
  });

  it("leaves out what it is told to, and says so", async () => {
    expect(await follow(block("sh", "false"), { without: /fal/ })).toEqual({
      passed: 0,
      failed: 0,
      leftOut: 1,
    });
    expect(said).toEqual(["  left out  false: by --without"]);
  });

  it("finds data where the reader has it", async () => {
    await follow(block("sh", "echo ~/data > d.txt"), { dataDirectory: "/some where" });
    expect(readFileSync(join(folder, "d.txt"), "utf8")).toBe("/some where\n");
  });

  it("trains less, but not where training has to last", () => {
    const text = "npx downpour train job.yaml --epochs 5";
    const less = "--epochs 1 --train-limit 1000";
    expect(asTested({ kind: "run", text })).toContain(`${text} ${less} --set cluster.`);
    expect(asTested({ kind: "until", text })).toContain(`${text} --set cluster.`);
    expect(asTested({ kind: "beside", text })).not.toContain(less);
    expect(asTested({ kind: "run", text: "npm start" })).toContain(`npm start -- ${less} --set`);
    expect(asTested({ kind: "run", text: "npx downpour resume runs/a" })).toContain("runs/a --set cluster.");
    expect(asTested({ kind: "run", text: "npx downpour doctor" })).toBe("npx downpour doctor");
  });
});
