import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { catalogue, type MetricDefinition, metricsReference } from "./catalogue.ts";

const all = Object.values(catalogue).flat() as MetricDefinition[];

/** Cells of a Markdown table are padded by the formatter of documents. */
const plain = (text: string) => text.replace(/ *\| */g, "|").replace(/-{3,}/g, "---");

describe("the catalogue of metrics", () => {
  it("is what docs/metrics.md lists", () => {
    const page = readFileSync(new URL("../../../docs/metrics.md", import.meta.url), "utf8");
    expect(plain(page)).toContain(plain(metricsReference()));
  });

  it("has each name once", () => {
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  });

  it("follows Prometheus's conventions: prefix, base units, _total for counters and for nothing else", () => {
    for (const { name, kind, labels = [] } of all) {
      expect(name).toMatch(/^downpour(_[a-z]+)+$/);
      expect(name.endsWith("_total"), name).toBe(kind === "counter");
      expect(name).not.toMatch(/_(ms|milliseconds|kib|mib|megabytes|percent)(_|$)/);
      for (const label of labels) expect(label).toMatch(/^[a-z]+$/);
    }
  });

  it("says what each metric is, in a sentence", () => {
    for (const { name, help } of all) expect(help, name).toMatch(/^[A-Z0-9].*\.$/);
  });
});
