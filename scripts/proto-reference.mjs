import fs from "node:fs";
import path from "node:path";
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";

/** `node scripts/proto-reference.mjs`: writes docs/proto-reference.md from the comments of the proto files. */

const root = fileURLToPath(new URL("..", import.meta.url));
const protoFolder = path.join(root, "proto");

/** The proto files, the one that the others import last. */
const files = ["coordinator", "parameter_server", "common"].map((name) => `downpour/v1/${name}.proto`);

/** Where the reference lies. */
export const referenceFile = path.join(root, "docs", "proto-reference.md");

/** @returns {string} the reference, as Markdown */
export function protoReference() {
  const parsed = files.map((file) => parse(file));
  const types = parsed.flatMap(({ messages, enums }) => [...messages, ...enums]);
  const known = new Set(types.map(({ name }) => name));
  return [
    "# The wire",
    "",
    ...[
      "All that Downpour's processes say to each other: `downpour.v1`, in protobuf over gRPC. This page is made from the",
      "comments of [proto/downpour/v1](../proto/downpour/v1) by `node scripts/proto-reference.mjs`. Which role may make",
      "which call is in [security.md](security.md#roles).",
    ],
    "",
    ...parsed.flatMap(({ file, comment, services, messages, enums }) => [
      `## ${path.basename(file)}`,
      "",
      ...paragraphs(comment),
      "",
      ...services.flatMap((service) => serviceLines(service, known)),
      ...messages.flatMap((message) => messageLines(message, known)),
      ...enums.flatMap(enumLines),
    ]),
  ]
    .join("\n")
    .replace(/\n{3,}/g, "\n\n")
    .replace(/\n*$/, "\n");
}

/** @param {string} file */
function parse(file) {
  const text = fs.readFileSync(path.join(protoFolder, file), "utf8");
  const { root: space } = protobuf.parse(text, { alternateCommentMode: true, keepCase: true });
  const found = space.lookup("downpour.v1");
  const declared = found instanceof protobuf.Namespace ? found.nestedArray : [];
  return {
    file,
    comment: headComment(text),
    services: declared.filter((it) => it instanceof protobuf.Service),
    messages: declared.filter((it) => it instanceof protobuf.Type),
    enums: declared.filter((it) => it instanceof protobuf.Enum),
  };
}

/** @param {string} text the comment above `syntax`, which belongs to the file */
function headComment(text) {
  const lines = text.split("\n");
  const end = lines.findIndex((line) => !line.startsWith("//"));
  return lines
    .slice(0, end)
    .map((line) => line.replace(/^\/\/ ?/, ""))
    .join("\n");
}

/**
 * @param {protobuf.Service} service
 * @param {ReadonlySet<string>} known
 */
function serviceLines(service, known) {
  return [
    `### Service ${service.name}`,
    "",
    ...paragraphs(service.comment),
    "",
    ...service.methodsArray.flatMap((method) => {
      /** @param {string} name @param {boolean | undefined} streams */
      const side = (name, streams) => `${streams ? "stream of " : ""}${typeText(name, known)}`;
      const request = side(method.requestType, method.requestStream);
      const response = side(method.responseType, method.responseStream);
      return [`#### ${method.name}`, "", `${request} → ${response}`, "", ...facts(method.comment), ""];
    }),
  ];
}

/**
 * @param {protobuf.Type} message
 * @param {ReadonlySet<string>} known
 */
function messageLines(message, known) {
  const rows = message.fieldsArray.map((field) => [
    String(field.id),
    `\`${field.name}\``,
    fieldType(field, known),
    cell(field.comment),
  ]);
  return [
    `### ${message.name}`,
    "",
    ...paragraphs(message.comment),
    "",
    ...(rows.length === 0 ? ["No fields."] : table(["no.", "field", "type", "meaning"], rows)),
    "",
  ];
}

/** @param {protobuf.Enum} declared */
function enumLines(declared) {
  const rows = Object.entries(declared.values).map(([name, number]) => [
    String(number),
    `\`${name}\``,
    cell(declared.comments[name]),
  ]);
  return [
    `### ${declared.name}`,
    "",
    ...paragraphs(declared.comment),
    "",
    ...table(["no.", "value", "meaning"], rows),
    "",
  ];
}

/**
 * @param {protobuf.Field} field
 * @param {ReadonlySet<string>} known
 */
function fieldType(field, known) {
  const type = typeText(field.type, known);
  if (field instanceof protobuf.MapField) return `map of ${field.keyType} to ${type}`;
  return field.repeated ? `repeated ${type}` : type;
}

/**
 * @param {string} name
 * @param {ReadonlySet<string>} known
 */
function typeText(name, known) {
  return known.has(name) ? `[${name}](#${name.toLowerCase()})` : name;
}

/**
 * The lines of a comment as one paragraph, lists as lists.
 *
 * @param {string | null | undefined} comment
 */
function paragraphs(comment) {
  return (comment ?? "")
    .replace(/\n(?!- |\n)\s*/g, " ")
    .replace(/([^\n])\n- /, "$1\n\n- ")
    .split("\n")
    .map((line) => escapeText(line.trim()));
}

/**
 * The comment of an RPC: what it is, then a list of its facts (Caller, Effect, ...).
 *
 * @param {string | null} comment
 */
function facts(comment) {
  const text = (comment ?? "").replace(/\s*\n\s*/g, " ");
  const [first = "", ...rest] = text.split(/(?=\b(?:Caller|Effect|Ordering|Idempotency|Errors): )/);
  const list = rest.map((fact) => `- ${escapeText(fact.trim()).replace(/^(\w+):/, "**$1:**")}`);
  return [escapeText(first.trim()), "", ...list];
}

/** @param {string | null | undefined} comment */
function cell(comment) {
  return escapeText((comment ?? "").replace(/\s*\n\s*/g, " ")).replaceAll("|", "\\|");
}

/** @param {string} text with angle brackets that Markdown would take for tags */
function escapeText(text) {
  return text.replace(/<(?=\w)/g, "\\<");
}

/**
 * @param {string[]} head
 * @param {string[][]} rows
 */
function table(head, rows) {
  /** @param {string[]} cells */
  const line = (cells) => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)];
}

if (process.argv[1] === fileURLToPath(import.meta.url)) fs.writeFileSync(referenceFile, protoReference());
