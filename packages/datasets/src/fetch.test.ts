import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import type { ProgressEvent } from "./dataset.ts";
import { fetchArchive } from "./fetch-archive.ts";
import { fetchFile } from "./fetch-file.ts";

const content = Buffer.from("the bytes of a published file");
const sha256 = createHash("sha256").update(content).digest("hex");
const checksum = { algorithm: "sha256", hex: sha256 } as const;

let server: Server;
let address: string;
let folder: string;
let archive: Buffer;

beforeAll(async () => {
  server = createServer((request, response) => {
    if (request.url === "/file") response.end(content);
    else if (request.url === "/longer") response.end(Buffer.concat([content, content]));
    else if (request.url === "/shorter") response.end(content.subarray(1));
    else if (request.url === "/other") response.end(Buffer.alloc(content.length));
    else if (request.url === "/archive.tar.gz") response.end(archive);
    else if (request.url === "/silent") response.flushHeaders();
    else response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "downpour-fetch-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const remote = (...paths: string[]) => ({
  urls: paths.map((path) => `${address}${path}`),
  bytes: content.length,
  checksum,
});

test("a file is taken from the first address that has the right content, and nothing else is left", async () => {
  const events: ProgressEvent[] = [];
  const path = join(folder, "sub", "f");
  await fetchFile(remote("/absent", "/other", "/file"), path, { onProgress: (event) => events.push(event) });
  expect(readFileSync(path)).toEqual(content);
  expect(readdirSync(join(folder, "sub"))).toEqual(["f"]);
  expect(events.at(-1)).toEqual({ what: "file", doneBytes: content.length, totalBytes: content.length });
});

test("when every address fails, one error names the file, each address with its reason, and the next step", async () => {
  const path = join(folder, "f");
  const tried = remote("/absent", "/other", "/longer", "/shorter");
  const error = await fetchFile(tried, path).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "unavailable" });
  const { message } = error as Error;
  for (const url of tried.urls) expect(message).toContain(url);
  for (const part of ["f could not be fetched", "404", sha256, "more than the expected", "--data-dir"]) {
    expect(message).toContain(part);
  }
  expect(readdirSync(folder)).toEqual([]);
});

test("a refused connection is reported with its reason", async () => {
  const nowhere = { urls: ["http://127.0.0.1:1/f"], bytes: 1, checksum };
  await expect(fetchFile(nowhere, join(folder, "f"))).rejects.toThrow(/127\.0\.0\.1:1\/f \(.*[^ ].*\)/);
});

test("an address that stays silent is given up after the idle time", async () => {
  const silent = fetchFile(remote("/silent"), join(folder, "f"), { idleTimeoutMs: 50 });
  await expect(silent).rejects.toThrow(/no data for 50 ms/);
});

test("several fetches of one file at once all succeed", async () => {
  const path = join(folder, "f");
  await Promise.all(Array.from({ length: 4 }, () => fetchFile(remote("/file"), path)));
  expect(readdirSync(folder)).toEqual(["f"]);
});

test("an archive is unpacked to its folder: the wanted files and nothing else", async () => {
  const source = join(folder, "source");
  mkdirSync(join(source, "inner"), { recursive: true });
  for (const name of ["a.bin", "b.bin", "unwanted"]) writeFileSync(join(source, "inner", name), name);
  execFileSync("tar", ["-czf", join(folder, "x.tar.gz"), "-C", source, "inner"]);
  archive = readFileSync(join(folder, "x.tar.gz"));
  const cache = join(folder, "cache");
  const description = {
    name: "archive.tar.gz",
    urls: [`${address}/archive.tar.gz`],
    bytes: archive.length,
    checksum: { algorithm: "md5", hex: createHash("md5").update(archive).digest("hex") } as const,
    folder: "inner",
    members: ["a.bin", "b.bin"],
  };
  await Promise.all([fetchArchive(description, cache), fetchArchive(description, cache)]);
  expect(readdirSync(cache)).toEqual(["inner"]);
  expect(readdirSync(join(cache, "inner")).sort()).toEqual(["a.bin", "b.bin"]);

  const lacking = { ...description, members: ["c.bin"] };
  await expect(fetchArchive(lacking, join(folder, "cache2"))).rejects.toMatchObject({ code: "environment" });
});
