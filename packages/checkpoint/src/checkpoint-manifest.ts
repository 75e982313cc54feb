import { createHash } from "node:crypto";
import { z } from "zod";
import { isPartName, partBytesMax } from "./part-names.ts";

/** The only version of the format so far. */
export const checkpointFormatVersion = 1;

const sha256 = z.string().regex(/^[0-9a-f]{64}$/);
const count = z.int().min(0);

const schema = z.strictObject({
  format: z.literal("downpour-checkpoint"),
  formatVersion: z.literal(checkpointFormatVersion),
  sequence: z.int().min(1),
  coordinatorEpoch: z.int().min(1),
  createdAtMs: count,
  job: z.strictObject({ name: z.string(), fingerprint: z.string() }),
  parameters: z.strictObject({ fingerprint: sha256, length: count }),
  serverCount: z.int().min(1),
  validation: z.strictObject({ loss: z.number(), accuracy: z.number() }).nullable(),
  files: z.array(
    z.strictObject({ file: z.string().refine(isPartName), bytes: count.max(partBytesMax), sha256 }),
  ),
});

/** A file of a checkpoint. */
export interface PartRecord {
  /** Name inside the checkpoint's folder. */
  readonly file: string;
  readonly bytes: number;
  /** Of the whole file, in hexadecimal. */
  readonly sha256: string;
}

/** What was measured on the weights of a checkpoint. */
export interface ValidationFigures {
  readonly loss: number;
  /** 0 to 1. */
  readonly accuracy: number;
}

/** The content of `manifest.json`, apart from the checksum over itself. */
export interface CheckpointManifest {
  readonly format: "downpour-checkpoint";
  readonly formatVersion: typeof checkpointFormatVersion;
  readonly sequence: number;
  readonly coordinatorEpoch: number;
  /** Milliseconds since 1970, by the coordinator's clock. */
  readonly createdAtMs: number;
  readonly job: { readonly name: string; readonly fingerprint: string };
  /** Of the model's parameter vector: the fingerprint of its manifest, and its elements with padding. */
  readonly parameters: { readonly fingerprint: string; readonly length: number };
  /** Servers that wrote it. */
  readonly serverCount: number;
  /** Null where these weights were not measured. */
  readonly validation: ValidationFigures | null;
  readonly files: readonly PartRecord[];
}

/**
 * The text of `manifest.json`: indented JSON whose last member, `sha256`, is the checksum of the same text without
 * that member. So a change of any byte shows.
 */
export function encodeCheckpointManifest(manifest: CheckpointManifest): string {
  const checksum = createHash("sha256")
    .update(JSON.stringify(manifest, null, 2))
    .digest("hex");
  return `${JSON.stringify({ ...manifest, sha256: checksum }, null, 2)}\n`;
}

/** The manifest that a text holds, or why it holds none. */
export type DecodedManifest =
  | { readonly kind: "manifest"; readonly manifest: CheckpointManifest }
  /** The text is of another version, which this one can't read. */
  | { readonly kind: "otherFormat"; readonly what: string }
  | { readonly kind: "altered"; readonly what: string };

/** Reads what {@link encodeCheckpointManifest} wrote. `what` continues "manifest.json ...". */
export function decodeCheckpointManifest(text: string): DecodedManifest {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    return { kind: "altered", what: "is not JSON" };
  }
  const version = (raw as { formatVersion?: unknown } | null)?.formatVersion;
  if (Number.isInteger(version) && version !== checkpointFormatVersion) {
    return {
      kind: "otherFormat",
      what: `has format version ${version}; this version of Downpour reads ${checkpointFormatVersion}`,
    };
  }
  const { sha256: _, ...unsigned } = (raw ?? {}) as Record<string, unknown>;
  const parsed = schema.safeParse(unsigned);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    return { kind: "altered", what: `has a wrong ${issue?.path.join(".") || "form"}: ${issue?.message}` };
  }
  // The order of members is the text's own, so that the same text comes back from what was not altered.
  if (encodeCheckpointManifest(unsigned as unknown as CheckpointManifest) !== text) {
    return { kind: "altered", what: "differs from its own SHA-256" };
  }
  return { kind: "manifest", manifest: parsed.data };
}
