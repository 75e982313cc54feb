import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connectCoordinator, loadIdentity } from "@downpour/protocol";
import { expect, it } from "vitest";
import { cleanUpAfterEach, downpour, type Finished, makeFolder, smallJob } from "./harness.ts";

cleanUpAfterEach();

const loopback = ["--host", "127.0.0.1", "localhost"];

async function succeed(...args: string[]): Promise<void> {
  const { status, stderr } = await downpour(args).finished;
  expect(stderr).toBe("");
  expect(status).toBe(0);
}

/** A folder that has what one machine of the role has. */
function machineOf(role: string, certificates: string, token: string): string[] {
  const folder = makeFolder();
  for (const name of ["ca.pem", `${role}.pem`, `${role}-key.pem`]) {
    copyFileSync(join(certificates, name), join(folder, name));
  }
  copyFileSync(token, join(folder, "join-token"));
  return ["--tls-dir", folder, "--join-token-file", join(folder, "join-token")];
}

it("a cluster laid out by hand trains over mutual TLS with a join token, lets no stranger in, and shows no secret", async () => {
  const folder = makeFolder();
  const [ours, foreign, logs, run] = ["ours", "foreign", "logs", "run"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
    string,
  ];
  mkdirSync(logs);
  for (const dir of [ours, foreign]) {
    await succeed("certs", "init", "--dir", dir, ...loopback);
    await succeed("certs", "token", "--dir", dir);
  }
  const ourToken = join(ours, "join-token");
  const foreignToken = join(foreign, "join-token");
  const job = join(folder, "job.yaml");
  writeFileSync(job, smallJob.replace("workers: 2, servers: 2", "workers: 1, servers: 2"));

  const said: Promise<Finished>[] = [];
  const start = (name: string, args: readonly string[]) => {
    const running = downpour([...args, "--log-file", join(logs, `${name}.jsonl`)]);
    said.push(running.finished);
    return running.finished;
  };
  const machine = (role: string) => machineOf(role, ours, ourToken);
  const coordinator = start("coordinator", ["coordinator", job, "--run-dir", run, ...machine("coordinator")]);
  const logOf = (name: string) => {
    const file = join(logs, `${name}.jsonl`);
    return existsSync(file) ? readFileSync(file, "utf8") : "";
  };
  await expect.poll(() => logOf("coordinator"), { timeout: 30_000 }).toContain('"listening"');
  const address = /"address":"([^"]+)"/.exec(logOf("coordinator"))?.[1] ?? "";
  const joining = ["--coordinator", address];
  const attempt = ["worker", ...joining, "--connect-timeout", "2"];

  const strangers = [
    start("plain", attempt),
    start("foreign", [...attempt, ...machineOf("worker", foreign, ourToken)]),
    start("token", [...attempt, ...machineOf("worker", ours, foreignToken)]),
    start("tokenless", [...attempt, ...machine("worker").slice(0, 2)]),
  ];
  const [plain, other, token, tokenless] = await Promise.all(strangers);
  for (const stranger of [plain, other, token, tokenless]) expect(stranger?.status).toBe(1);
  for (const stranger of [plain, other]) expect(stranger?.stderr).toContain("certificates of one authority");
  expect(token?.stderr).toContain("brought another one");
  expect(tokenless?.stderr).toContain("brought none");

  const members = [
    start("server-1", ["server", ...joining, ...machine("server")]),
    start("server-2", ["server", ...joining, ...machine("server")]),
    start("evaluator", ["evaluator", ...joining, ...machine("evaluator"), "--device", "portable"]),
    start("worker", ["worker", ...joining, ...machine("worker"), "--device", "portable"]),
  ];
  const identity = await loadIdentity({ tlsDirectory: ours, joinTokenFile: ourToken }, "worker");
  const caller = connectCoordinator(address, 10_000, identity);
  await expect(caller.call("StopJob", { reason: "a worker wants to" })).rejects.toMatchObject({
    code: "permissionDenied",
    message: expect.stringMatching(/StopJob may be called by admin, .*role worker/),
  });
  caller.close();
  for (const { status, stderr } of await Promise.all([coordinator, ...members])) {
    expect(stderr).toBe("");
    expect(status).toBe(0);
  }
  const summary = JSON.parse(readFileSync(join(run, "summary.json"), "utf8")) as Record<string, unknown>;
  expect(summary).toMatchObject({ outcome: "finished" });

  const lines = logOf("coordinator")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const refused = lines.filter(({ msg }) => msg === "refused a call");
  // Each reason once for the one peer, whatever the number of attempts.
  expect(refused.map(({ reason }) => reason).sort()).toEqual([
    "noToken",
    "plainText",
    "wrongRole",
    "wrongToken",
  ]);
  expect(lines.findLast(({ msg }) => msg === "closed")).toMatchObject({
    refusals: {
      noToken: expect.any(Number),
      wrongToken: expect.any(Number),
      plainText: expect.toSatisfy((count) => count > 0),
      noRole: 0,
      wrongRole: 1,
    },
  });

  const texts = [
    ...readdirSync(logs).map((name) => readFileSync(join(logs, name), "utf8")),
    ...readdirSync(run)
      .filter((name) => /\.(jsonl?|yaml)$/.test(name))
      .map((name) => readFileSync(join(run, name), "utf8")),
    ...(await Promise.all(said)).map(({ stdout, stderr }) => stdout + stderr),
  ].join("\n");
  const secrets = [ourToken, foreignToken].map((file) => readFileSync(file, "utf8").trim());
  const keys = readdirSync(ours)
    .filter((name) => name.endsWith("-key.pem"))
    .map((name) => readFileSync(join(ours, name), "utf8").split("\n")[1] ?? "");
  for (const secret of [...secrets, ...keys]) {
    expect(secret.length).toBeGreaterThan(20);
    expect(texts.includes(secret)).toBe(false);
  }
});
