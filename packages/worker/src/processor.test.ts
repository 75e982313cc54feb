import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { hasBfloat16 } from "./processor.ts";

const folder = mkdtempSync(join(tmpdir(), "downpour-processor-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each([
  [
    "an x64 processor with AVX512_BF16",
    "processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 avx512vl\n",
    true,
  ],
  [
    "an x64 processor without",
    "processor\t: 0\nflags\t\t: fpu avx2 avx512f avx512_vnni\nbugs\t: bf16\n",
    false,
  ],
  ["an ARM processor with BF16", "processor\t: 0\nFeatures\t: fp asimd i8mm bf16 dgh\n", true],
  ["an ARM processor without", "processor\t: 0\nFeatures\t: fp asimd\n", false],
  ["a list that says nothing of flags", "processor\t: 0\n", undefined],
])("hasBfloat16 tells %s", (_, text, expected) => {
  const file = join(folder, "cpuinfo");
  writeFileSync(file, text);
  expect(hasBfloat16(file)).toBe(expected);
});

test("hasBfloat16 can't tell where there is no list of processors", () => {
  expect(hasBfloat16(join(folder, "missing"))).toBeUndefined();
});
