import { execFileSync, spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { catalogue, type MetricDefinition } from "@downpour/metrics";
import { describe, expect, it } from "vitest";

const deploy = fileURLToPath(new URL("../deploy", import.meta.url));
const rules = join(deploy, "prometheus");
const hasPromtool = spawnSync("promtool", ["--version"]).status === 0;

/** Names of samples: a histogram has three kinds. */
const samples = new Set(
  (Object.values(catalogue).flat() as MetricDefinition[]).flatMap(({ name, kind }) =>
    kind === "histogram" ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  ),
);

/** The metrics of Downpour that an expression names. */
function metricsIn(text: string): string[] {
  return [...text.matchAll(/\bdownpour(?:_[a-z]+)+\b(?!["(.])/g)].map(([name]) => name);
}

describe("alert rules and the dashboard", () => {
  it("speak of metrics that the roles show, and of no others", () => {
    const alerts = readFileSync(join(rules, "alerts.yml"), "utf8");
    const dashboard = JSON.parse(readFileSync(join(deploy, "grafana/downpour.json"), "utf8")) as {
      panels: { targets: { expr: string }[] }[];
    };
    const shown = dashboard.panels.flatMap(({ targets }) => targets.map(({ expr }) => expr));
    expect(shown.length).toBeGreaterThan(20);
    const named = metricsIn([alerts, ...shown].join("\n"));
    expect(named.length).toBeGreaterThan(30);
    expect(named.filter((name) => !samples.has(name))).toEqual([]);
  });

  it.skipIf(!hasPromtool)(
    "are rules that promtool takes, and that fire when they should and not before",
    () => {
      const options = { cwd: rules, encoding: "utf8" } as const;
      expect(execFileSync("promtool", ["check", "config", "prometheus.yml"], options)).toContain("SUCCESS");
      for (const file of readdirSync(rules).filter((name) => name.endsWith(".test.yml"))) {
        expect(execFileSync("promtool", ["test", "rules", file], options)).toContain("SUCCESS");
      }
    },
  );
});
