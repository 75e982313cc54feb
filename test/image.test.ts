import { spawn } from "node:child_process";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { cleanUpAfterEach, makeFolder } from "./harness.ts";

cleanUpAfterEach();

const scripts = fileURLToPath(new URL("../deploy/image", import.meta.url));

/** Runs a script of the image with stand-ins for the programs that it calls. */
function run(
  script: string,
  args: readonly string[],
  programs: Record<string, string>,
  env: Record<string, string> = {},
) {
  const folder = makeFolder();
  for (const [name, text] of Object.entries(programs)) {
    writeFileSync(join(folder, name), `#!/bin/sh\ncd "${folder}"\n${text}\n`);
    chmodSync(join(folder, name), 0o755);
  }
  const [shell = "sh"] = script.endsWith("health.sh") ? ["bash"] : ["sh"];
  const child = spawn(shell, [join(scripts, script), ...args], {
    env: { PATH: `${folder}:${process.env.PATH}`, ...env },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
    });
  }
  const ended = new Promise<{ status: number | null; output: string }>((resolve) => {
    child.once("close", (status) => resolve({ status, output }));
  });
  /** As tini -g does: to all of the group. */
  const terminate = () => process.kill(-(child.pid ?? 0), "SIGTERM");
  return { folder, ended, terminate };
}

describe("a member in a container", () => {
  it("ends with the status of its role", async () => {
    const { ended } = run(
      "run-member.sh",
      ["worker", "--x"],
      { downpour: 'echo "got $*"; exit 3' },
      { DOWNPOUR_AFTER: "wait" },
    );
    expect(await ended).toEqual({ status: 3, output: "got worker --x\n" });
    const once = run("run-member.sh", ["worker"], { downpour: "exit 0" });
    expect((await once.ended).status).toBe(0);
  });

  it("waits for the next job when told to, and joins it", async () => {
    const downpour = "echo x >> runs; [ $(wc -l < runs) -lt 3 ] || exit 7";
    const { ended, folder } = run(
      "run-member.sh",
      ["server"],
      { downpour, sleep: "exit 0" },
      { DOWNPOUR_AFTER: "wait" },
    );
    const { status, output } = await ended;
    expect(status).toBe(7);
    expect(output.match(/waiting for the next one/g)).toHaveLength(2);
    expect(readFileSync(join(folder, "runs"), "utf8")).toBe("x\nx\nx\n");
  });

  it("lets its role drain when it is told to end, and starts no other", async () => {
    const downpour = "trap 'touch drained; exit 0' TERM; touch started; while :; do sleep 0.05; done";
    const { ended, folder, terminate } = run(
      "run-member.sh",
      ["worker"],
      { downpour },
      { DOWNPOUR_AFTER: "wait" },
    );
    await expect.poll(() => existsSync(join(folder, "started"))).toBe(true);
    terminate();
    expect((await ended).status).toBe(0);
    expect(existsSync(join(folder, "drained"))).toBe(true);
  });
});

describe("the coordinator in a container", () => {
  it("says that it does not see the job file", async () => {
    const { ended } = run("run-coordinator.sh", [], { downpour: "exit 0" });
    const { status, output } = await ended;
    expect(status).toBe(2);
    expect(output).toMatch(/the job file is not visible in this container: set DOWNPOUR_JOB/);
  });
});

describe("the health check of a container", () => {
  it.each([
    [200, "ready", 0],
    [503, "has not joined the job yet", 1],
  ])("answers what the role answers: %i", async (code, text, status) => {
    const server = createServer((request, response) => {
      response.writeHead(request.url === "/readyz" ? code : 404).end(`${text}\n`);
    }).listen(0, "127.0.0.1");
    await new Promise((resolve) => server.once("listening", resolve));
    const DOWNPOUR_METRICS_PORT = String((server.address() as AddressInfo).port);
    const { ended } = run("health.sh", ["readyz"], {}, { DOWNPOUR_METRICS_PORT });
    expect(await ended).toEqual({ status, output: `${text}\n` });
    server.close();
  });

  it("fails where nobody answers", async () => {
    const { ended } = run("health.sh", ["healthz"], {}, { DOWNPOUR_METRICS_PORT: "1" });
    expect((await ended).status).toBe(1);
  });
});
