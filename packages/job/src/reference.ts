import { type SchemaNode, schemaTree } from "./schema-tree.ts";

/** The reference of the job file as Markdown tables, made from the schema. */
export function jobFileReference(): string {
  const root = schemaTree();
  const sections = Object.entries(root.properties ?? {}).map(([key, node]) => {
    const required = root.required?.includes(key) ?? false;
    return `## ${key}\n\n${node.description ?? sectionText(key)}\n\n${table(rows(key, node, required))}`;
  });
  return (
    "# The job file\n\n" +
    "A job file is YAML with the keys below. An unknown key, a wrong type or an impossible value is refused\n" +
    "before anything starts. This page is made from the schema by `npx downpour job-file`.\n\n" +
    `${sections.join("\n\n")}\n`
  );
}

const sectionTexts: Readonly<Record<string, string>> = {
  data: "What to learn from, and how it is cut into mini-batches.",
  learningRate: "The rate of an update: initial rate, times schedule, times warm-up, times the drops so far.",
  training: "How long to train.",
  evaluation: "When to measure, and which weights to keep.",
  cluster: "Processes, and how long they wait for each other.",
  logging: "What a run writes for other programs.",
};

function sectionText(key: string): string {
  return sectionTexts[key] ?? "";
}

interface Row {
  readonly path: string;
  readonly kind: string;
  readonly fallback: string;
  readonly text: string;
}

function rows(path: string, node: SchemaNode, required: boolean): Row[] {
  const alternatives = (node.oneOf ?? node.anyOf)?.filter((branch) => branch.properties !== undefined) ?? [];
  if (alternatives.length > 0) {
    return alternatives.flatMap((branch) => {
      const [tag, tagNode] = Object.entries(branch.properties ?? {})[0] ?? ["", {}];
      const name = `${path}: ${tag} ${String(tagNode.const)}`;
      const fields = Object.entries(branch.properties ?? {}).slice(1);
      const head = { path: name, kind: "choice", fallback: "", text: tagNode.description ?? "" };
      return [
        head,
        ...fields.flatMap(([key, child]) => rows(`${path}.${key}`, child, requires(branch, key))),
      ];
    });
  }
  if (node.properties !== undefined) {
    return Object.entries(node.properties).flatMap(([key, child]) =>
      rows(`${path}.${key}`, child, requires(node, key)),
    );
  }
  const fallback =
    node.default === undefined ? (required ? "required" : "–") : code(JSON.stringify(node.default));
  return [{ path, kind: kindOf(node), fallback, text: node.description ?? "" }];
}

function requires(node: SchemaNode, key: string): boolean {
  return node.required?.includes(key) ?? false;
}

function kindOf(node: SchemaNode): string {
  if (node.const !== undefined) return code(String(node.const));
  if (node.enum !== undefined) return node.enum.map((value) => code(String(value))).join(", ");
  if (node.anyOf !== undefined) return node.anyOf.map(kindOf).join(" or ");
  if (node.prefixItems !== undefined) return `[${node.prefixItems.map(kindOf).join(", ")}]`;
  if (node.type === "array") return `list of ${kindOf(node.items ?? {})}`;
  const low = node.exclusiveMinimum !== undefined ? `> ${node.exclusiveMinimum}` : atLeast(node.minimum);
  const high = node.exclusiveMaximum !== undefined ? `< ${node.exclusiveMaximum}` : atMost(node.maximum);
  return [node.type ?? "value", [low, high].filter((text) => text !== "").join(", ")]
    .filter((s) => s !== "")
    .join(" ");
}

function atLeast(minimum: number | undefined): string {
  return minimum === undefined || minimum === Number.MIN_SAFE_INTEGER ? "" : `>= ${minimum}`;
}

function atMost(maximum: number | undefined): string {
  return maximum === undefined || maximum === Number.MAX_SAFE_INTEGER ? "" : `<= ${maximum}`;
}

function code(text: string): string {
  return `\`${text}\``;
}

/** A Markdown table with its columns aligned, as the formatter of this repository writes them. */
function table(entries: readonly Row[]): string {
  const cells = [
    ["key", "value", "default", "meaning"],
    ...entries.map((row) => [code(row.path), row.kind, row.fallback, row.text]),
  ];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const [head = "", ...lines] = cells.map(
    (row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`,
  );
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [head, rule, ...lines].join("\n");
}
