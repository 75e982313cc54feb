import { z } from "zod";
import { jobFileSchema } from "./schema.ts";

/** The part of JSON Schema that the job schema turns into. */
export interface SchemaNode {
  readonly description?: string;
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly required?: readonly string[];
  readonly anyOf?: readonly SchemaNode[];
  readonly oneOf?: readonly SchemaNode[];
  readonly items?: SchemaNode;
  /** Of a tuple, its places. */
  readonly prefixItems?: readonly SchemaNode[];
}

/** The job schema as a tree, for those that describe it. */
export function schemaTree(): SchemaNode {
  return z.toJSONSchema(jobFileSchema, { io: "input" }) as SchemaNode;
}

/** The keys that the schema knows at a path of a job file; of a choice, those of the branch that `root` took. */
export function knownKeys(path: readonly PropertyKey[], root: unknown): string[] {
  let node: SchemaNode | undefined = branchOf(schemaTree(), root);
  let value: unknown = root;
  for (const key of path) {
    value = fieldOf(value, key);
    const child: SchemaNode | undefined = node?.properties?.[String(key)];
    node = child === undefined ? undefined : branchOf(child, value);
  }
  return Object.keys(node?.properties ?? {});
}

/** Of a choice, the branch whose constants the value has. */
function branchOf(node: SchemaNode, value: unknown): SchemaNode | undefined {
  const branches = node.oneOf ?? node.anyOf;
  if (branches === undefined) return node;
  return branches.find((branch) =>
    Object.entries(branch.properties ?? {}).every(
      ([key, child]) => child.const === undefined || child.const === fieldOf(value, key),
    ),
  );
}

function fieldOf(value: unknown, key: PropertyKey): unknown {
  return typeof value === "object" && value !== null
    ? (value as Record<PropertyKey, unknown>)[key]
    : undefined;
}
