import { DownpourError } from "@downpour/errors";

/**
 * Checks that every label is a class.
 *
 * @param path named in errors
 * @throws DownpourError `corruptData` for the first that is not
 */
export function requireLabels(labels: Uint8Array, classCount: number, path: string): void {
  const example = labels.findIndex((label) => label >= classCount);
  if (example === -1) return;
  throw new DownpourError(
    "corruptData",
    `${path} has the label ${labels[example]} at example ${example}, expected 0 to ${classCount - 1}: replace it ` +
      "with the published file",
    { facts: { path, example, label: labels[example] ?? null } },
  );
}
