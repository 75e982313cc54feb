import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { loadTls, readJoinToken, roles } from "@downpour/protocol";
import { beforeEach, describe, expect, it, onTestFinished } from "vitest";
import type { Reporter } from "../reporter.ts";
import { certsInit, certsIssue, certsToken } from "./certs.ts";

const now = new Date("2030-01-01T00:00:00Z");
let dir: string;
let results: { summary: Readonly<Record<string, unknown>>; lines: readonly string[] }[];
let reporter: Reporter;

beforeEach(() => {
  const folder = mkdtempSync(join(tmpdir(), "downpour-certs-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  dir = join(folder, "certs");
  results = [];
  const unexpected = () => {
    throw new Error("said something besides its result");
  };
  reporter = {
    ...{ note: unexpected, warn: unexpected, event: unexpected, failure: unexpected },
    ...{ note: unexpected, warn: unexpected, task: unexpected, failure: unexpected },
    result: (summary, lines) => results.push({ summary, lines }),
  };
});

describe("certs", () => {
  it("makes files that every role can load, and says where they are and until when they hold", async () => {
    await certsInit({ dir, host: ["node1", "10.0.0.7"], days: "30" }, now, reporter);
    for (const role of roles) await expect(loadTls(dir, role, now)).resolves.toBeDefined();
    const { summary, lines } = results[0] ?? { summary: {}, lines: [] };
    expect(summary).toMatchObject({
      directory: dir,
      ca: join(dir, "ca.pem"),
      caKey: join(dir, "ca-key.pem"),
    });
    expect(summary.certificates).toContainEqual({
      role: "server",
      certificateFile: join(dir, "server.pem"),
      keyFile: join(dir, "server-key.pem"),
      hosts: ["node1", "10.0.0.7"],
      notAfter: "2030-01-31T00:00:00.000Z",
    });
    const text = lines.join("\n");
    expect(text).toMatch(/coordinator {2}.*coordinator\.pem, until 2030-01-31, for node1, 10\.0\.0\.7/);
    expect(text).toMatch(/worker {7}.*worker\.pem, until 2030-01-31$/m);
    expect(text).toContain("ca-key.pem off them");
    for (const file of readdirSync(dir).filter((name) => name.endsWith("-key.pem"))) {
      const secret = readFileSync(join(dir, file), "utf8").split("\n")[1] ?? "";
      expect(secret.length).toBeGreaterThan(20);
      expect(JSON.stringify(results).includes(secret), file).toBe(false);
    }
  });

  it("names this machine where no host is named", async () => {
    await certsInit({ dir, days: "365" }, now, reporter);
    const certificates = results[0]?.summary.certificates as { role: string; hosts: string[] }[];
    const { hosts } = certificates.find(({ role }) => role === "coordinator") ?? { hosts: [] };
    expect(hosts).toEqual(expect.arrayContaining(["localhost", "127.0.0.1", hostname()]));
  });

  it("overwrites nothing at a second time", async () => {
    await certsInit({ dir, days: "30" }, now, reporter);
    await expect(certsInit({ dir, days: "30" }, now, reporter)).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining(`${join(dir, "ca.pem")} exists already`),
    });
  });

  it("renews one role, and says what to copy", async () => {
    await certsInit({ dir, host: ["node1"], days: "30" }, now, reporter);
    await certsIssue("server", { dir, days: "60" }, now, reporter);
    expect(results[1]?.summary).toMatchObject({
      certificates: [{ role: "server", hosts: ["node1"], notAfter: "2030-03-02T00:00:00.000Z" }],
    });
    expect(results[1]?.lines.join("\n")).toMatch(/Copy .*server\.pem and .*server-key\.pem to the machines/);
    await expect(loadTls(dir, "server", now)).resolves.toBeDefined();
  });

  it.each([
    [{ days: "0" }, "--days 0: expected an integer of 1 to 3650"],
    [{ days: "forever" }, "--days forever: expected an integer of 1 to 3650"],
    [{ days: "30", host: ["node1:7070"] }, "--host node1:7070: expected a host name or an IP address"],
  ])("refuses %j", async (changed, message) => {
    await expect(certsInit({ dir, ...changed }, now, reporter)).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining(message),
    });
  });

  it("refuses a role that does not exist, naming those that do", async () => {
    await expect(certsIssue("boss", { dir, days: "30" }, now, reporter)).rejects.toMatchObject({
      code: "usage",
      message: "role boss: expected one of coordinator, server, worker, evaluator, admin",
    });
  });
});

describe("certs token", () => {
  it("writes a token for its owner only, does not show it, and does not overwrite it", async () => {
    await certsInit({ dir, days: "30" }, now, reporter);
    await certsToken({ dir }, reporter);
    const file = join(dir, "join-token");
    expect(results[1]?.summary).toEqual({ file });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    await expect(readJoinToken(file)).resolves.toBeDefined();
    expect(JSON.stringify(results).includes(readFileSync(file, "utf8").trim())).toBe(false);
    await expect(certsToken({ dir }, reporter)).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("is not overwritten"),
    });
  });

  it("makes the folder where there is none", async () => {
    await certsToken({ dir }, reporter);
    expect(readdirSync(dir)).toEqual(["join-token"]);
  });

  it("prints one and writes nothing when asked to", async () => {
    await certsToken({ dir, print: true }, reporter);
    const { summary, lines } = results[0] ?? { summary: {}, lines: [] };
    expect(lines).toEqual([summary.token]);
    expect(lines[0]).toMatch(/^[A-Za-z0-9_-]{43}$/);
    expect(() => statSync(dir)).toThrow("ENOENT");
  });
});
