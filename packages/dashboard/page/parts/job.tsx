/** The job with all its defaults, as YAML. */
export function ResolvedJob({ job }: { readonly job: unknown }) {
  return (
    <section class="card">
      <details>
        <summary>
          <h2>Resolved job</h2>
        </summary>
        {job === null ? (
          <p class="summary">the run's folder has no job file that can be read</p>
        ) : (
          <pre tabIndex={0}>{yamlOf(job, 0)}</pre>
        )}
      </details>
    </section>
  );
}

/** Plain data as YAML, for reading. */
function yamlOf(value: unknown, depth: number): string {
  const indent = "  ".repeat(depth);
  if (Array.isArray(value)) {
    const flat = value.every((item) => typeof item !== "object" || item === null);
    if (flat) return `[${value.map((item) => JSON.stringify(item)).join(", ")}]`;
    return `\n${value.map((item) => `${indent}- ${yamlOf(item, depth + 1).trimStart()}`).join("\n")}`;
  }
  if (typeof value === "object" && value !== null) {
    const lines = Object.entries(value).map(([key, item]) => {
      const text = yamlOf(item, depth + 1);
      return `${indent}${key}:${text.startsWith("\n") ? "" : " "}${text}`;
    });
    return `${depth === 0 ? "" : "\n"}${lines.join("\n")}`;
  }
  return typeof value === "string" && /^[\w./@ -]+$/.test(value) ? value : JSON.stringify(value);
}
