import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { hasNatsServer, type SoakResult } from "@downpour/faults";
import { afterEach, expect, it } from "vitest";
import { processesWith } from "./harness.ts";

const script = fileURLToPath(new URL("../scripts/soak.mjs", import.meta.url));
const minutes = 2;
const seed = 1;
const skipped = hasNatsServer
  ? ""
  : ", skipped: no nats-server on the PATH (Debian: apt-get install nats-server)";

/** The faults, training to the end of what is under way, and as many epochs again without faults. */
const timeout = 12 * 60_000;

let child: ChildProcess | undefined;

afterEach(async () => {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child?.once("exit", resolve));
  child.kill("SIGTERM");
  await ended;
});

it.skipIf(!hasNatsServer)(
  `${minutes} minutes of faults lose and double nothing on 2 servers, 3 workers, 2 coordinators and NATS${skipped}`,
  { timeout },
  async () => {
    // Stays, with the logs of all roles, when something is wrong.
    const folder = mkdtempSync(join(tmpdir(), "downpour-test-soak-"));
    const { status, stdout, stderr } = await soak(folder);
    const last = stdout.trimEnd().split("\n").at(-1) ?? "";
    expect(last, stderr).toMatch(/^\{/);
    const result = JSON.parse(last) as SoakResult & { readonly ok: boolean };

    expect(result, stderr).toMatchObject({
      examplesLost: 0,
      examplesDoubled: 0,
      pushesLost: 0,
      pushesDoubled: 0,
      violations: [],
      hung: [],
      ok: true,
    });
    expect(status, stderr).toBe(0);
    // It was disturbed, in more than one way, and it trained.
    const counts = Object.values(result.faults);
    expect(counts.length, JSON.stringify(result.faults)).toBeGreaterThanOrEqual(3);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(6);
    expect(result.epochs).toBeGreaterThan(1);
    expect(result.testAccuracy).toBeGreaterThanOrEqual(result.undisturbedTestAccuracy - 0.01);
    expect(processesWith(folder)).toEqual([]);
    rmSync(folder, { recursive: true });
  },
);

/** The command that people run, with its temporary files below the folder. */
async function soak(folder: string): Promise<{ status: number | null; stdout: string; stderr: string }> {
  const args = [script, "--minutes", `${minutes}`, "--seed", `${seed}`, "--json"];
  const env = { ...process.env, TMPDIR: folder };
  const started = spawn(process.execPath, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  child = started;
  let stdout = "";
  let stderr = "";
  started.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  started.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const status = await new Promise<number | null>((resolve) => started.once("close", resolve));
  return { status, stdout, stderr };
}
