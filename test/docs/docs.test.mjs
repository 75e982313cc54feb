import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { protoReference, referenceFile } from "../../scripts/proto-reference.mjs";
import { commandsOf, exceptionOf } from "./commands.mjs";
import { exceptions, tested } from "./exceptions.mjs";
import { anchorsOf, blocksOf, localLinksOf } from "./markdown.mjs";

/* What the documentation promises about itself; `pnpm run test:docs` runs its commands. */

const root = fileURLToPath(new URL("../..", import.meta.url));
/** @param {string} file */
const read = (file) => readFileSync(join(root, file), "utf8");

/**
 * @param {string} folder
 * @returns {string[]} Markdown files below it, by their path in the repository
 */
function pagesBelow(folder) {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    if (["node_modules", "dist", "generated", ".git", "runs"].includes(entry.name)) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return pagesBelow(path);
    return entry.name.endsWith(".md") ? [path] : [];
  });
}

const pages = pagesBelow("");

describe("the documentation", () => {
  it("has links that lead to a file, and to a heading of it where they name one", () => {
    expect(pages.length).toBeGreaterThan(20);
    const broken = pages.flatMap((page) =>
      localLinksOf(read(page))
        .filter(({ page: target, anchor }) => {
          const file = target === "" ? page : relative(root, join(root, dirname(page), target));
          if (!existsSync(join(root, file))) return true;
          return anchor !== "" && !(file.endsWith(".md") && anchorsOf(read(file)).has(anchor));
        })
        .map(({ page: target, anchor }) => `${page}: ${target}${anchor === "" ? "" : `#${anchor}`}`),
    );
    expect(broken).toEqual([]);
  });

  it("has every page of docs/ in its index", () => {
    const named = new Set(localLinksOf(read("docs/README.md")).map(({ page }) => page));
    const all = pages.filter((page) => /^docs\/[^/]+\.md$/.test(page) && page !== "docs/README.md");
    expect(all.filter((page) => !named.has(page.slice("docs/".length)))).toEqual([]);
  });

  it("has blocks whose fences are closed, each with its language", () => {
    const bare = pages.flatMap((page) =>
      blocksOf(read(page))
        .filter(({ info }) => info === "" && tested.includes(page))
        .map(({ line }) => `${page}:${line}`),
    );
    expect(bare).toEqual([]);
  });

  it("has a reference of the wire that says what the proto files say now", () => {
    // If this fails: node scripts/proto-reference.mjs
    expect(readFileSync(referenceFile, "utf8")).toBe(protoReference());
  });

  it("has no exception from the tested commands that no command needs", () => {
    const commands = tested.flatMap((page) => commandsOf(read(page), page));
    expect(commands.length).toBeGreaterThan(10);
    const unused = exceptions.filter(
      (exception) => !commands.some((command) => exceptionOf(command) === exception),
    );
    expect(unused).toEqual([]);
    expect(exceptions.filter(({ why }) => why.length < 10)).toEqual([]);
  });
});

describe("reading a page", () => {
  it("finds commands block by block, with lines that go on and without comments", () => {
    const page = "```sh\nnpx a   # first\n# alone\nnpx b \\\n  --c 'd # e'\n```\n```js\nno\n```\n";
    expect(commandsOf(page, "P").map(({ text }) => text)).toEqual(["npx a", "npx b   --c 'd # e'"]);
  });

  it("knows which commands run beside others and which blocks are files", () => {
    const page = '```js file=a.mjs\n1\n```\n```sh beside\nnpx a\n```\n```sh until="epoch 2"\nnpx b\n```\n';
    expect(commandsOf(page, "P")).toMatchObject([
      { kind: "file", file: "a.mjs", text: "1" },
      { kind: "beside", text: "npx a" },
      { kind: "until", until: "epoch 2", text: "npx b" },
    ]);
  });

  it("makes anchors as GitHub does, the second of a name with a number", () => {
    expect([...anchorsOf("# A `b` & c\n## Is it?\n## Is it?\n```sh\n# no heading\n```\n")]).toEqual([
      "a-b--c",
      "is-it",
      "is-it-1",
    ]);
  });

  it("takes no link from code, and none to the web", () => {
    const text = '[a](b.md#c) `[x](y.md)` [w](https://x.org/(y)) ![i](d.svg "t")\n```md\n[n](o.md)\n```\n';
    expect(localLinksOf(text)).toEqual([
      { page: "b.md", anchor: "c" },
      { page: "d.svg", anchor: "" },
    ]);
  });
});
