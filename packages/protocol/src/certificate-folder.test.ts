import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, expect, onTestFinished, test } from "vitest";
import { certificateFiles, initCertificates, issueCertificate } from "./certificate-folder.ts";
import { roles, rolesNamedIn } from "./roles.ts";

const now = new Date("2030-01-01T00:00:00Z");
const hosts = ["node1.example.com", "10.0.0.7", "::1"];
let directory: string;

beforeEach(() => {
  const folder = mkdtempSync(join(tmpdir(), "downpour-certs-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  directory = join(folder, "certs");
});

function read(file: string): X509Certificate {
  return new X509Certificate(readFileSync(file));
}

test("makes an authority and a certificate with key for each role, keys for their owner only", async () => {
  const issued = await initCertificates({ directory, hosts, days: 30, now });
  expect(issued.map(({ role }) => role)).toEqual([...roles]);
  const files = certificateFiles(directory);
  const expected = ["ca", ...roles].flatMap((name) => [`${name}.pem`, `${name}-key.pem`]).sort();
  expect(readdirSync(directory).sort()).toEqual(expected);
  expect(statSync(directory).mode & 0o777).toBe(0o700);
  const ca = read(files.ca);
  expect(ca.ca).toBe(true);
  expect(ca.checkPrivateKey(createPrivateKey(readFileSync(files.caKey)))).toBe(true);
  expect(statSync(files.caKey).mode & 0o777).toBe(0o600);
  for (const { role, notAfter } of issued) {
    const certificate = read(files.certificateOf(role));
    expect(certificate.ca, role).toBe(false);
    expect(rolesNamedIn(certificate.subjectAltName)).toEqual([role]);
    expect(certificate.checkIssued(ca) && certificate.verify(ca.publicKey), role).toBe(true);
    expect(certificate.checkPrivateKey(createPrivateKey(readFileSync(files.keyOf(role)))), role).toBe(true);
    expect(notAfter).toEqual(new Date("2030-01-31T00:00:00Z"));
    expect(statSync(files.keyOf(role)).mode & 0o777, role).toBe(0o600);
  }
});

test("those that listen are known by the hosts and may be servers; the others have no host and may not", async () => {
  await initCertificates({ directory, hosts, days: 30, now });
  const files = certificateFiles(directory);
  const [serverUsage, clientUsage] = ["1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.2"];
  for (const role of roles) {
    const certificate = read(files.certificateOf(role));
    const listens = role === "coordinator" || role === "server";
    // Node.js 20 names the extended usages keyUsage.
    expect(certificate.keyUsage, role).toEqual(listens ? [serverUsage, clientUsage] : [clientUsage]);
    expect(certificate.checkHost("node1.example.com"), role).toBe(listens ? "node1.example.com" : undefined);
    expect(certificate.checkIP("10.0.0.7"), role).toBe(listens ? "10.0.0.7" : undefined);
    expect(certificate.checkHost("node2.example.com"), role).toBeUndefined();
  }
});

test("overwrites nothing, and names the file and what to do instead", async () => {
  await initCertificates({ directory, hosts, days: 30, now });
  const before = readFileSync(join(directory, "ca-key.pem"));
  await expect(initCertificates({ directory, hosts, days: 30, now })).rejects.toMatchObject({
    code: "usage",
    message: expect.stringMatching(/ca\.pem exists already.*downpour certs issue ROLE.*--dir/),
  });
  expect(readFileSync(join(directory, "ca-key.pem"))).toEqual(before);
});

test("one file in the way is enough, and then none is written", async () => {
  const other = join(directory, "..", "evaluator-key.pem");
  writeFileSync(other, "mine");
  const there = { directory: join(directory, ".."), hosts, days: 30, now };
  await expect(initCertificates(there)).rejects.toMatchObject({
    message: expect.stringContaining("evaluator-key.pem exists already"),
  });
  expect(readdirSync(there.directory)).toEqual(["evaluator-key.pem"]);
  expect(readFileSync(other, "utf8")).toBe("mine");
});

test("renews one role for the same hosts, and leaves all other files alone", async () => {
  await initCertificates({ directory, hosts, days: 30, now });
  const contents = () =>
    Object.fromEntries(
      readdirSync(directory).map((name) => [name, readFileSync(join(directory, name), "utf8")]),
    );
  const before = contents();
  const later = new Date("2030-01-20T00:00:00Z");
  const issued = await issueCertificate("server", { directory, days: 90, now: later });
  expect(issued).toMatchObject({ role: "server", notAfter: new Date("2030-04-20T00:00:00Z") });
  const after = contents();
  const changed = Object.keys(after).filter((name) => after[name] !== before[name]);
  expect(changed.sort()).toEqual(["server-key.pem", "server.pem"]);
  const [old, renewed] = [before, after].map((texts) => new X509Certificate(texts["server.pem"] ?? ""));
  expect(renewed?.subjectAltName).toBe(old?.subjectAltName);
  expect(renewed?.verify(read(join(directory, "ca.pem")).publicKey)).toBe(true);
  expect(renewed?.checkPrivateKey(createPrivateKey(after["server-key.pem"] ?? ""))).toBe(true);
  expect(statSync(join(directory, "server-key.pem")).mode & 0o777).toBe(0o600);
});

test("renews one role for other hosts", async () => {
  await initCertificates({ directory, hosts, days: 30, now });
  const issued = await issueCertificate("coordinator", { directory, hosts: ["node2"], days: 30, now });
  expect(issued.hosts).toEqual(["node2"]);
  const certificate = read(join(directory, "coordinator.pem"));
  expect(certificate.checkHost("node2")).toBe("node2");
  expect(certificate.checkHost("node1.example.com")).toBeUndefined();
});

test("issues a role whose files are gone", async () => {
  await initCertificates({ directory, hosts, days: 30, now });
  rmSync(join(directory, "worker.pem"));
  rmSync(join(directory, "worker-key.pem"));
  await issueCertificate("worker", { directory, days: 30, now });
  expect(rolesNamedIn(read(join(directory, "worker.pem")).subjectAltName)).toEqual(["worker"]);
});

test("no certificate outlives its authority", async () => {
  await initCertificates({ directory, hosts, days: 30, now });
  const end = new Date(read(join(directory, "ca.pem")).validTo);
  const late = new Date(end.getTime() - 24 * 60 * 60_000);
  expect((await issueCertificate("worker", { directory, days: 30, now: late })).notAfter).toEqual(end);
  const past = { directory, days: 30, now: new Date(end.getTime() + 1000) };
  await expect(issueCertificate("worker", past)).rejects.toMatchObject({
    code: "usage",
    message: expect.stringMatching(/ca\.pem expired on 20\d\d-.*downpour certs init/),
  });
});

test.each([["node1:7070"], ["https://node1"], ["a b"], [""], ["node1,node2"], ["-x"]])(
  "refuses %j as a host",
  async (host) => {
    await expect(initCertificates({ directory, hosts: [host], days: 1, now })).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining(`--host ${host}: expected a host name or an IP address`),
    });
  },
);

test("refuses to make a certificate that nobody can be reached with", async () => {
  await expect(initCertificates({ directory, hosts: [], days: 1, now })).rejects.toMatchObject({
    code: "usage",
    message: expect.stringMatching(/role coordinator names the hosts.*--host NAME/),
  });
});

test("says what is missing where there is no authority, or one that can't sign", async () => {
  await expect(issueCertificate("worker", { directory, days: 1, now })).rejects.toMatchObject({
    code: "usage",
    message: expect.stringMatching(/can't read .*ca\.pem.*downpour certs init/),
  });
  await initCertificates({ directory, hosts, days: 30, now });
  writeFileSync(
    join(directory, "ca-key.pem"),
    "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n",
  );
  const error = await issueCertificate("worker", { directory, days: 1, now }).catch(
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ code: "usage", message: expect.stringContaining("are no authority") });
  expect(String(error)).not.toContain("c2VjcmV0");
});
