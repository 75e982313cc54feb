import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { downpour, folder, inBackground, jobFile, port, tearDown } from "./project.ts";

/** Each test with a cluster of its own. */
export function mistakeTests(): void {
  afterEach(tearDown);

  it("names the port that is in use", async () => {
    const server = createServer().listen(Number(port), "127.0.0.1");
    try {
      const { status, stderr } = await downpour(["up", jobFile, ...inBackground]);
      expect(status).toBe(1);
      expect(stderr).toMatch(new RegExp(`port ${port} is in use \\(wanted by .*coordinator.*\\): .*--port`));
    } finally {
      server.close();
    }
  });

  it("says that its containers don't see the job file", async () => {
    const overlay = join(folder, "nowhere.yml");
    // Docker makes a folder of what is not there.
    const volume = `${join(folder, "nowhere", "job.yaml")}:/job/job.yaml:ro`;
    writeFileSync(overlay, `services:\n  coordinator:\n    volumes: ["${volume}"]\n`);
    const flags = [...inBackground, "--file", overlay];
    const { status, stderr } = await downpour(["up", jobFile, ...flags]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/coordinator[-_]1: .*job file is not visible.*put the job file there/s);
  });

  it("names the limit of memory that a worker ran into", async () => {
    const overlay = join(folder, "memory.yml");
    writeFileSync(overlay, 'services:\n  worker:\n    restart: "no"\n');
    const flags = [...inBackground, "--file", overlay];
    const { status, stderr } = await downpour(["up", jobFile, ...flags], {
      DOWNPOUR_WORKER_MEMORY: "160m",
    });
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /all workers have failed\. .*worker[-_]\d was killed: .*limit of 160 MiB\. Raise DOWNPOUR_WORKER_MEMORY/s,
    );
  });

  it("names the volume that its containers can't write", async () => {
    const closed = join(folder, "closed");
    mkdirSync(closed);
    chmodSync(closed, 0o755);
    const overlay = join(folder, "closed.yml");
    writeFileSync(overlay, `services:\n  coordinator:\n    volumes: ["${closed}:/runs"]\n`);
    const { status, stderr } = await downpour(["up", jobFile, ...inBackground, "--file", overlay]);
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /coordinator[-_]1: .*\/runs can't be written by user 1000.*A volume is without permission/s,
    );
  });

  it("says that a worker brought a wrong token, and what to do", async () => {
    const data = join(folder, "data");
    mkdirSync(data);
    writeFileSync(join(data, "join-token"), `${"A".repeat(43)}\n`, { mode: 0o644 });
    const overlay = join(folder, "token.yml");
    const token = "--join-token-file=/data/join-token";
    writeFileSync(
      overlay,
      `services:\n  worker:\n    restart: "no"\n    command: [worker, --coordinator=coordinator:7070, --tls-dir=/secrets/worker, ${token}]\n`,
    );
    const flags = [...inBackground, "--file", overlay, "--data-dir", data];
    const { status, stderr } = await downpour(["up", jobFile, ...flags]);
    expect(status).toBe(1);
    expect(stderr).toMatch(
      /all workers have failed\. .*worker[-_]1: .*brought another one.*Its token is another one/s,
    );
  });
}
