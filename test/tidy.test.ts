import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

/* What the linter can't say about the house. */

const root = fileURLToPath(new URL("..", import.meta.url));

function filesBelow(folder: string, accept: (name: string) => boolean): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (["node_modules", "dist", "generated", ".git", "runs"].includes(entry.name)) return [];
    const path = join(folder, entry.name);
    if (entry.isDirectory()) return filesBelow(path, accept);
    return accept(entry.name) ? [path] : [];
  });
}

const sources = filesBelow(join(root, "packages"), (name) => /\.(ts|mjs|cc)$/.test(name));
const named = (file: string) => relative(root, file);

/** Cores take time and randomness as arguments, and do no I/O. */
const pureCores = [
  "packages/tensor-kernels/src",
  "packages/parameter-vector/src",
  "packages/run-history/src",
  ...[
    "bitmap.ts",
    "checkpoint-id.ts",
    "checkpoint-manifest.ts",
    "coordinator-part.ts",
    "part-names.ts",
    "push-ids.ts",
    "reassign.ts",
    "retention.ts",
    "safetensors.ts",
    "server-part.ts",
    "server-state.ts",
    "slice-snapshot.ts",
    "stored-ledger.ts",
    "tensor-pieces.ts",
  ].map((file) => `packages/checkpoint/src/${file}`),
  ...[
    "admission.ts",
    "apply-engine.ts",
    "byte-budget.ts",
    "clock-gate.ts",
    "checkpoint-snapshots.ts",
    "command-guard.ts",
    "encodings.ts",
    "gate-keeper.ts",
    "holdings.ts",
    "layout.ts",
    "memory-plan.ts",
    "parameter-store.ts",
    "pull-answer.ts",
    "pulled-versions.ts",
    "push-id-table.ts",
    "push-progress.ts",
    "replica-intake.ts",
    "replica-link.ts",
    "replica-log.ts",
    "replication.ts",
    "restore-slices.ts",
    "round-gate.ts",
    "rounds.ts",
    "slice.ts",
    "snapshots.ts",
    "staging.ts",
    "take-push.ts",
  ].map((file) => `packages/parameter-server/src/${file}`),
  "packages/job/src/learning-rate.ts",
  "packages/job/src/asynchrony.ts",
  "packages/datasets/src/epoch-order.ts",
  "packages/datasets/src/digits",
  "packages/datasets/src/augment",
  ...[
    "work-queue.ts",
    "report-queue.ts",
    "pull-timing.ts",
    "gradient-clipper.ts",
    "gradient-preparation.ts",
    "gradient-run.ts",
    "weight-replica.ts",
    "push-encoder.ts",
    "pull-payloads.ts",
  ].map((file) => `packages/worker/src/${file}`),
  "packages/worker/src/step-graph/recording.ts",
  "packages/worker/src/step-graph/simplify.ts",
  "packages/worker/src/step-graph/bfloat16.ts",
  ...[
    "ledger.ts",
    "ledger-account.ts",
    "ledger-proof.ts",
    "ledger-roll-back.ts",
    "lease-book.ts",
    "step-times.ts",
    "layout-changes.ts",
    "layout-view.ts",
    "server-control.ts",
    "restored-slices.ts",
    "roll-back.ts",
    "resume-plan.ts",
    "job-difference.ts",
    "training.ts",
    "training-rate.ts",
    "coordinator-parts.ts",
    "coordinator-state.ts",
    "epoch-book.ts",
    "control.ts",
    "worker-figures.ts",
    "plateau.ts",
    "early-stopping.ts",
    "best.ts",
    "job-limits.ts",
    "schedule.ts",
    "warm-start.ts",
    "divergence-guard.ts",
    "asynchrony-control.ts",
    "server-figures.ts",
    "job-waits.ts",
    "membership.ts",
    "lifecycle.ts",
    "rate-meter.ts",
    "evaluations.ts",
    "coordinator-core.ts",
    "leader-lock.ts",
    "cluster-layout.ts",
    "metrics-lines.ts",
    "summary.ts",
    "training-figures.ts",
  ].map((file) => `packages/coordinator/src/${file}`),
];

describe("the house", () => {
  it("has pure cores: no clock, no randomness, no file, no socket", () => {
    const impure =
      /Date\.now|new Date|performance\.now|Math\.random|setTimeout|setInterval|node:(fs|net|http|child_process|worker_threads)/;
    const found = pureCores.flatMap((core) => {
      const path = join(root, core);
      expect(existsSync(path), core).toBe(true);
      const files = core.endsWith(".ts") ? [path] : filesBelow(path, (name) => name.endsWith(".ts"));
      return files
        .filter((file) => !file.includes(".test.") && impure.test(readFileSync(file, "utf8")))
        .map(named);
    });
    expect(found).toEqual([]);
  });

  it("has no promise of later work in its sources", () => {
    const marks = new RegExp(["TO" + "DO", "FIX" + "ME", "XX" + "X"].join("|"));
    expect(sources.filter((file) => marks.test(readFileSync(file, "utf8"))).map(named)).toEqual([]);
  });

  it("keeps source files below 400 lines", () => {
    const long = sources.filter(
      (file) => !file.includes(".test.") && readFileSync(file, "utf8").split("\n").length > 400,
    );
    expect(long.map(named)).toEqual([]);
  });

  it("has services that never import each other", () => {
    const services = ["parameter-server", "worker", "coordinator"];
    const found = services.flatMap((service) =>
      filesBelow(join(root, "packages", service, "src"), (name) => name.endsWith(".ts")).filter((file) =>
        services.some(
          (other) => other !== service && readFileSync(file, "utf8").includes(`"@downpour/${other}"`),
        ),
      ),
    );
    expect(found.map(named)).toEqual([]);
  });

  it("has no placeholder in its documents", () => {
    const documents = filesBelow(root, (name) => name.endsWith(".md"));
    const marks = new RegExp(`[A-Z]+_${"RESULT"}|${"TB"}D`);
    expect(documents.filter((file) => marks.test(readFileSync(file, "utf8"))).map(named)).toEqual([]);
  });

  it("documents every RPC of the wire with a comment", () => {
    const undocumented = filesBelow(join(root, "proto"), (name) => name.endsWith(".proto")).flatMap(
      (file) => {
        const lines = readFileSync(file, "utf8").split("\n");
        return lines
          .map((line, i) => ({ line, before: lines[i - 1] ?? "" }))
          .filter(({ line, before }) => /^ {2}rpc /.test(line) && !before.trimStart().startsWith("//"))
          .map(({ line }) => `${named(file)}: ${line.trim()}`);
      },
    );
    expect(undocumented).toEqual([]);
  });
});
