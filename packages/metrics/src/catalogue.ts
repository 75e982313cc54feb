import { coordinatorMetrics } from "./catalogue-coordinator.ts";
import { evaluatorMetrics, workerMetrics } from "./catalogue-member.ts";
import { serverMetrics } from "./catalogue-server.ts";

/** A metric: its name, with unit, and what it says. */
export interface MetricDefinition {
  readonly name: string;
  readonly kind: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly labels?: readonly string[];
}

/** All metrics, by the role that shows them. */
export const catalogue = {
  coordinator: coordinatorMetrics,
  server: serverMetrics,
  worker: workerMetrics,
  evaluator: evaluatorMetrics,
} as const satisfies Readonly<Record<string, readonly MetricDefinition[]>>;

export type MetricRole = keyof typeof catalogue;

/** Names of a role's metrics. */
export type MetricName<Role extends MetricRole> = (typeof catalogue)[Role][number]["name"];

const headings: Readonly<Record<MetricRole, string>> = {
  coordinator: "Coordinator",
  server: "Server",
  worker: "Worker",
  evaluator: "Evaluator",
};

/** The catalogue as Markdown, one table per role: what docs/metrics.md holds. */
export function metricsReference(): string {
  return Object.entries(catalogue)
    .map(([role, definitions]) => {
      const rows = (definitions as readonly MetricDefinition[]).map(({ name, kind, labels = [], help }) => {
        const shown = labels.map((label) => `\`${label}\``).join(", ");
        return `| \`${name}\` | ${kind} | ${shown} | ${help} |`;
      });
      const heading = `## ${headings[role as MetricRole]}`;
      return [heading, "", "| metric | kind | labels | what |", "| --- | --- | --- | --- |", ...rows].join(
        "\n",
      );
    })
    .join("\n\n");
}
