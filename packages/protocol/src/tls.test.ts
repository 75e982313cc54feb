import { credentials, status } from "@grpc/grpc-js";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { answering } from "./answering.ts";
import { type CertificateSet, makeCertificates } from "./certificates.ts";
import { services } from "./definition.ts";
import type { PullRequest } from "./generated/downpour/v1/PullRequest.ts";
import type { PullResponse, PullResponseInput } from "./generated/downpour/v1/PullResponse.ts";
import { SequencedStream } from "./sequenced-stream.ts";
import { type Serving, serve, unary } from "./serve.ts";
import { okStatus } from "./status.ts";
import type { TlsMaterial } from "./tls.ts";
import { connectCoordinator, connectParameterServer } from "./unary-client.ts";

const closing: (() => unknown)[] = [];
let ours: CertificateSet;
let foreign: CertificateSet;

beforeAll(async () => {
  [ours, foreign] = await Promise.all([
    makeCertificates(["127.0.0.1", "localhost"]),
    makeCertificates(["127.0.0.1", "localhost"]),
  ]);
});

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

async function serveJob(tls?: TlsMaterial): Promise<Serving> {
  const handlers = { GetJob: unary(() => ({ jobJson: "{}" })) };
  const options = tls === undefined ? {} : { tls };
  const serving = await serve(services.Coordinator.service, handlers as never, "127.0.0.1", 0, options);
  closing.push(() => serving.close(0));
  return serving;
}

async function getJob(address: string, tls?: TlsMaterial): Promise<string> {
  const caller = connectCoordinator(address, 20_000, tls === undefined ? {} : { tls });
  closing.push(() => caller.close());
  return (await caller.call("GetJob", {})).jobJson;
}

test.each(["127.0.0.1", "localhost"])(
  "calls work when both sides are known to each other, at %s",
  async (host) => {
    const { address } = await serveJob(ours.server);
    await expect(getJob(address.replace("127.0.0.1", host), ours.client)).resolves.toBe("{}");
  },
);

test("streams carry payloads both ways over mutual TLS", async () => {
  const Pull = answering<PullRequest, PullResponseInput>(({ sequence, memberId }) => [
    { sequence, status: okStatus, slices: [{ data: Buffer.from(memberId) }], last: true },
  ]);
  const serving = await serve(services.ParameterServer.service, { Pull } as never, "127.0.0.1", 0, {
    tls: ours.server,
  });
  closing.push(() => serving.close(0));
  const caller = connectParameterServer(serving.address, 20_000, { tls: ours.client });
  closing.push(() => caller.close());
  const client = caller.client as InstanceType<typeof services.ParameterServer>;
  const stream = new SequencedStream(() => client.pull(), "Pull", 20_000);
  const sent = "x".repeat(3 * 1024 * 1024);
  let received: Buffer | undefined;
  await stream.request({ memberId: sent }, (response: PullResponse) => {
    received = response.slices[0]?.data;
    return response.last;
  });
  expect(received?.equals(Buffer.from(sent))).toBe(true);
  stream.close();
});

describe("refused as unavailable, saying that certificates may be why:", () => {
  const cases: [string, () => [server: TlsMaterial | undefined, client: TlsMaterial | undefined]][] = [
    ["a client in plain text at a server with TLS", () => [ours.server, undefined]],
    ["a client with TLS at a server in plain text", () => [undefined, ours.client]],
    ["a client of another authority", () => [ours.server, { ...foreign.client, ca: ours.client.ca }]],
    ["a server of another authority", () => [{ ...foreign.server, ca: ours.server.ca }, ours.client]],
    ["a client that shows a server's certificate", () => [ours.server, ours.server]],
  ];
  test.each(cases)("%s", async (_, sides) => {
    const [server, client] = sides();
    const { address } = await serveJob(server);
    await expect(getJob(address, client)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringMatching(
        /^GetJob at coordinator 127\.0\.0\.1:\d+: no connection .*one authority/s,
      ),
    });
  });

  test("a server whose certificate is for another host", async () => {
    const elsewhere = await makeCertificates(["example.com", "192.0.2.1"]);
    const { address } = await serveJob(elsewhere.server);
    await expect(getJob(address, elsewhere.client)).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("192.0.2.1"),
    });
  });

  test("a client that shows no certificate", async () => {
    const { address } = await serveJob(ours.server);
    const client = new services.Coordinator(
      address.replace("127.0.0.1", "localhost"),
      credentials.createSsl(ours.client.ca),
    );
    closing.push(() => client.close());
    const code = await new Promise((resolve) => {
      client.getJob({}, { deadline: Date.now() + 20_000 }, (error) => resolve(error?.code));
    });
    expect(code).toBe(status.UNAVAILABLE);
  });
});
