import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from "vitest";
import { certificateFiles, initCertificates, issueCertificate } from "./certificate-folder.ts";
import { loadTls } from "./load-tls.ts";
import { roles } from "./roles.ts";

const now = new Date("2030-01-01T00:00:00Z");
const hosts = ["localhost"];
let folder: string;
let directory: string;
let original: string;
let other: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "downpour-tls-"));
  [original, other, directory] = [join(folder, "original"), join(folder, "other"), join(folder, "copy")];
  await initCertificates({ directory: original, hosts, days: 30, now });
  await initCertificates({ directory: other, hosts, days: 30, now });
  await initCertificates({ directory, hosts, days: 30, now });
});

afterAll(() => rmSync(folder, { recursive: true }));

beforeEach(() => {
  const names = ["ca", ...roles].flatMap((name) => [`${name}.pem`, `${name}-key.pem`]);
  for (const name of names) copyFileSync(join(original, name), join(directory, name));
});

function refusal(change: () => void, at = now): Promise<{ code?: string; message?: string }> {
  change();
  return loadTls(directory, "worker", at).then(
    () => ({}),
    (error: { code: string; message: string }) => error,
  );
}

test("every role loads what was made for it, without the authority's key", async () => {
  rmSync(join(directory, "ca-key.pem"));
  for (const role of roles) {
    const files = certificateFiles(directory);
    expect(await loadTls(directory, role, now)).toEqual({
      ca: readFileSync(files.ca),
      certificate: readFileSync(files.certificateOf(role)),
      key: readFileSync(files.keyOf(role)),
    });
  }
});

test.each(["ca.pem", "worker.pem", "worker-key.pem"])(
  "%s missing is named, with the next step",
  async (name) => {
    expect(await refusal(() => rmSync(join(directory, name)))).toMatchObject({
      code: "environment",
      message: expect.stringMatching(
        new RegExp(`${name} is missing: .*certificate|key.*downpour certs init`),
      ),
    });
  },
);

test("a file that is not in PEM is named, and its content is not shown", async () => {
  for (const name of ["ca.pem", "worker.pem", "worker-key.pem"]) {
    copyFileSync(join(original, name), join(directory, name));
    const { message } = await refusal(() => writeFileSync(join(directory, name), "secret-9431"));
    expect(message).toContain(`${name} `);
    expect(message).not.toContain("9431");
    copyFileSync(join(original, name), join(directory, name));
  }
});

test("a key that this user can't read is named", async () => {
  const key = join(directory, "worker-key.pem");
  rmSync(key);
  // The superuser may read every file, and nobody can read a folder as one.
  if (process.getuid?.() === 0) mkdirSync(key);
  else writeFileSync(key, "", { mode: 0 });
  onTestFinished(() => rmSync(key, { recursive: true }));
  expect(await refusal(() => undefined)).toMatchObject({
    code: "environment",
    message: expect.stringMatching(/worker-key\.pem can't be read \((EACCES|EISDIR).*and nobody else/),
  });
});

test("a key of another certificate is refused, naming both files", async () => {
  const change = () => copyFileSync(join(other, "worker-key.pem"), join(directory, "worker-key.pem"));
  expect(await refusal(change)).toMatchObject({
    code: "environment",
    message: expect.stringMatching(
      /worker-key\.pem is not the key of .*worker\.pem; .*downpour certs issue worker/,
    ),
  });
});

test("a certificate that has expired is refused, with its date and the command that renews it", async () => {
  expect(await refusal(() => undefined, new Date("2030-01-31T00:00:00Z"))).toEqual({});
  expect(await refusal(() => undefined, new Date("2030-01-31T00:00:01Z"))).toMatchObject({
    code: "environment",
    message: expect.stringMatching(
      /worker\.pem expired on 2030-01-31T00:00:00.000Z, now is 2030-01-31T00:00:01.000Z; .*certs issue worker/,
    ),
  });
});

test("a certificate that does not hold yet is refused, with its date; clocks may differ by a minute", async () => {
  expect(await refusal(() => undefined, new Date("2029-12-31T23:59:00Z"))).toEqual({});
  // The authority's certificate is as old as the worker's, and is looked at first.
  expect(await refusal(() => undefined, new Date("2029-12-31T23:58:59Z"))).toMatchObject({
    code: "environment",
    message: expect.stringMatching(/ca\.pem holds from 2029-12-31T23:59:00.000Z on, now is .*clock/),
  });
  const later = new Date("2030-01-10T00:00:00Z");
  await issueCertificate("worker", { directory, days: 30, now: later });
  expect(await refusal(() => undefined)).toMatchObject({
    code: "environment",
    message: expect.stringMatching(
      /worker\.pem holds from 2030-01-09T23:59:00.000Z on, now is 2030-01-01.*clock/,
    ),
  });
});

test("an authority that has expired is refused", async () => {
  expect(await refusal(() => undefined, new Date("2041-01-01T00:00:00Z"))).toMatchObject({
    code: "environment",
    message: expect.stringMatching(/ca\.pem expired on 2039-12-30.*downpour certs init/),
  });
});

test("a certificate that another authority signed is refused, naming both files", async () => {
  const change = () => copyFileSync(join(other, "ca.pem"), join(directory, "ca.pem"));
  expect(await refusal(change)).toMatchObject({
    code: "environment",
    message: expect.stringMatching(/worker\.pem is not signed by .*ca\.pem; /),
  });
});

test("a file with two authorities takes certificates of both, while one replaces the other", async () => {
  const both = Buffer.concat([other, original].map((from) => readFileSync(join(from, "ca.pem"))));
  writeFileSync(join(directory, "ca.pem"), both);
  expect((await loadTls(directory, "worker", now)).ca).toEqual(both);
});

test("a certificate of another role is refused, naming both roles", async () => {
  const change = () => {
    copyFileSync(join(original, "evaluator.pem"), join(directory, "worker.pem"));
    copyFileSync(join(original, "evaluator-key.pem"), join(directory, "worker-key.pem"));
  };
  expect(await refusal(change)).toMatchObject({
    code: "environment",
    message: expect.stringMatching(/worker\.pem is a certificate of role evaluator, expected worker/),
  });
});
