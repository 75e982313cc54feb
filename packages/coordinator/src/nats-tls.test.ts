import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeCertificates } from "@downpour/protocol";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { NatsJobStore } from "./nats-job-store.ts";
import {
  hasNatsServer,
  type NatsUnderTest,
  skippedReason,
  startNatsWith,
} from "./nats-server.test.fixture.ts";

const timeoutMs = 60_000;
const token = "t".repeat(43);

describe.skipIf(!hasNatsServer)(`NATS over mutual TLS${skippedReason}`, () => {
  let folder: string;
  let nats: NatsUnderTest;
  let own: Awaited<ReturnType<typeof makeCertificates>>;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "nats-tls-"));
    own = await makeCertificates(["127.0.0.1", "localhost"]);
    const file = (name: string, text: Buffer) => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const { server } = own;
    const files = `cert_file: "${file("cert.pem", server.certificate)}", key_file: "${file("key.pem", server.key)}"`;
    const tls = `tls { ${files}, ca_file: "${file("ca.pem", server.ca)}", verify: true }`;
    nats = await startNatsWith(`${tls}\nauthorization { token: "${token}" }`);
  }, timeoutMs);

  afterAll(async () => {
    await nats?.dispose();
    rmSync(folder, { recursive: true, force: true });
  });

  it(
    "lets in who shows a certificate of its authority and the token",
    async () => {
      const store = await NatsJobStore.open("tls", { servers: nats.addresses, tls: own.client, token });
      expect(await store.put("key", "value", undefined)).toMatchObject({ kind: "stored" });
      expect(await store.get("key")).toMatchObject({ value: "value" });
      await store.close();
    },
    timeoutMs,
  );

  it(
    "refuses plain text, a certificate of another authority, and whoever lacks the token",
    async () => {
      const other = await makeCertificates(["127.0.0.1"]);
      const open = (options: object) =>
        NatsJobStore.open("tls", { servers: nats.addresses, ...options }).catch((error: unknown) => error);
      expect(await open({})).toMatchObject({ name: "DownpourError" });
      expect(await open({ tls: other.client, token })).toMatchObject({ name: "DownpourError" });
      expect(await open({ tls: own.client })).toMatchObject({ name: "DownpourError" });
    },
    timeoutMs,
  );
});
