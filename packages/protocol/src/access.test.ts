import net from "node:net";
import tls from "node:tls";
import { inspect } from "node:util";
import { credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Refusal, refusalReasons } from "./access.ts";
import { answering } from "./answering.ts";
import { makeCertificates } from "./certificates.ts";
import { services } from "./definition.ts";
import type { PullRequest } from "./generated/downpour/v1/PullRequest.ts";
import type { PullResponse, PullResponseInput } from "./generated/downpour/v1/PullResponse.ts";
import { JoinToken, makeJoinToken } from "./join-token.ts";
import { limits } from "./limits.ts";
import { type Role, roles } from "./roles.ts";
import { SequencedStream } from "./sequenced-stream.ts";
import { type ServeOptions, type Serving, serve, unary } from "./serve.ts";
import { okStatus } from "./status.ts";
import type { TlsMaterial } from "./tls.ts";
import { connectCoordinator, connectParameterServer } from "./unary-client.ts";
import { type Authority, makeAuthority, signCertificate } from "./x509.ts";

const hourMs = 60 * 60_000;
const closing: (() => unknown)[] = [];
const tokenText = makeJoinToken();
const token = new JoinToken(tokenText, "a test");
const otherText = makeJoinToken();
const otherToken = new JoinToken(otherText, "a test");

let authority: Authority;
/** What each role shows. */
const shown = {} as Record<Role, TlsMaterial>;

function validity(fromMs: number, toMs: number) {
  const now = Date.now();
  return { notBefore: new Date(now + fromMs), notAfter: new Date(now + toMs) };
}

async function materialFor(asked: readonly Role[], by = authority, lasts = validity(-hourMs, hourMs)) {
  const hosts = ["127.0.0.1", "localhost"];
  const credential = await signCertificate(by, {
    ...{ ...lasts, name: "test", hosts, roles: asked, server: true, client: true },
  });
  return { ca: authority.certificate, ...credential };
}

beforeAll(async () => {
  authority = await makeAuthority("Test authority", validity(-2 * hourMs, hourMs));
  for (const role of roles) shown[role] = await materialFor([role]);
}, 300_000);

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

interface Cluster {
  readonly coordinator: Serving;
  readonly server: Serving;
  readonly refusals: Refusal[];
  /** Paths of the calls that reached a handler. */
  readonly reached: string[];
  /** Metadata of unary calls that reached a handler. */
  readonly metadata: Metadata[];
}

/** A coordinator and a parameter server with handlers that tell that they were reached. */
async function serveBoth(options: { tls?: boolean; token?: JoinToken } = {}): Promise<Cluster> {
  const refusals: Refusal[] = [];
  const reached: string[] = [];
  const metadata: Metadata[] = [];
  const access = {
    onRefused: (refusal: Refusal) => refusals.push(refusal),
    ...(options.token && { token: options.token }),
  };
  const optionsOf = (role: Role): ServeOptions =>
    options.tls === false ? { access: { onRefused: access.onRefused } } : { tls: shown[role], access };
  const Pull = answering<PullRequest, PullResponseInput>(({ sequence }) => {
    reached.push("Pull");
    return [{ sequence, status: okStatus, slices: [], last: true }];
  });
  const answer = unary((request: { reason?: string }) => {
    reached.push(request.reason ?? "");
    return {};
  });
  const onServer = {
    Pull,
    Assign: unary(() => {
      reached.push("Assign");
      return {};
    }),
  };
  const onCoordinator = {
    Leave: (
      call: { metadata: Metadata; request: { reason?: string } },
      callback: (...answer: unknown[]) => void,
    ) => {
      metadata.push(call.metadata);
      reached.push("Leave");
      callback(null, {});
    },
    StopJob: answer,
    Watch(stream: { write(event: object): void; end(): void }) {
      reached.push("Watch");
      stream.write({ sequence: 1 });
      stream.end();
    },
  };
  const host = "127.0.0.1";
  const server = await serve(
    services.ParameterServer.service,
    onServer as never,
    host,
    0,
    optionsOf("server"),
  );
  const coordinator = await serve(
    ...([services.Coordinator.service, onCoordinator as never, host, 0, optionsOf("coordinator")] as const),
  );
  closing.push(
    () => server.close(0),
    () => coordinator.close(0),
  );
  return { coordinator, server, refusals, reached, metadata };
}

interface Identity {
  readonly tls?: TlsMaterial;
  readonly token?: JoinToken;
}

async function leave({ coordinator }: Cluster, identity: Identity): Promise<unknown> {
  const caller = connectCoordinator(coordinator.address, 20_000, identity);
  closing.push(() => caller.close());
  return caller.call("Leave", {});
}

async function pull({ server }: Cluster, identity: Identity): Promise<void> {
  const caller = connectParameterServer(server.address, 20_000, identity);
  closing.push(() => caller.close());
  const client = caller.client as InstanceType<typeof services.ParameterServer>;
  const stream = new SequencedStream(() => client.pull(), "Pull", 20_000);
  try {
    await stream.request({}, (response: PullResponse) => response.last);
  } finally {
    stream.close();
  }
}

/** The number of events that came before the stream ended. */
function watch({ coordinator }: Cluster, identity: Identity): Promise<number> {
  const caller = connectCoordinator(coordinator.address, 20_000, identity);
  closing.push(() => caller.close());
  const stream = (caller.client as InstanceType<typeof services.Coordinator>).watch({});
  let events = 0;
  return new Promise((resolve, reject) => {
    stream.on("data", () => events++);
    stream.on("end", () => resolve(events));
    stream.on("error", reject);
  });
}

const none = Object.fromEntries(refusalReasons.map((reason) => [reason, 0]));

describe("connections", () => {
  const refused: [string, () => Promise<TlsMaterial | undefined>, Refusal["reason"]][] = [
    [
      "an expired certificate",
      () => materialFor(["worker"], authority, validity(-hourMs, -1000)),
      "expiredCertificate",
    ],
    [
      "one that is not valid yet",
      () => materialFor(["worker"], authority, validity(hourMs / 2, hourMs)),
      "expiredCertificate",
    ],
    ["a certificate of another authority", foreignMaterial, "wrongCertificate"],
    ["plain text", async () => undefined, "plainText"],
  ];
  test.each(refused)("with %s are refused, told of once, and counted each time", async (_, show, reason) => {
    const cluster = await serveBoth();
    const material = await show();
    const attempt = () => leave(cluster, material === undefined ? {} : { tls: material });
    await expect(attempt()).rejects.toMatchObject({ code: "unavailable" });
    // A client that has just failed waits before it connects again.
    const another = async () => {
      await attempt().catch(() => undefined);
      return cluster.coordinator.refusals[reason];
    };
    await expect.poll(another, { timeout: 20_000 }).toBeGreaterThanOrEqual(2);
    expect(cluster.reached).toEqual([]);
    expect(cluster.refusals).toMatchObject([{ reason, peer: "127.0.0.1", rpc: "" }]);
    const others = { ...cluster.coordinator.refusals, [reason]: 0 };
    expect(others).toEqual(none);
  });

  test("that show no certificate are refused and counted; those that are given up are not", async () => {
    const { coordinator } = await serveBoth();
    const port = Number(coordinator.address.split(":")[1]);
    const socket = tls.connect({
      port,
      host: "127.0.0.1",
      ca: authority.certificate,
      servername: "localhost",
    });
    await new Promise((resolve) => socket.once("error", resolve));
    await expect.poll(() => coordinator.refusals).toEqual({ ...none, noCertificate: 1 });
    const given = net.connect(port, "127.0.0.1");
    await new Promise((resolve) => given.once("connect", resolve));
    given.destroy();
    await leave({ coordinator } as Cluster, { tls: shown.worker });
    expect(coordinator.refusals).toEqual({ ...none, noCertificate: 1 });
  });

  /** Trusts this cluster, and is not of it. */
  async function foreignMaterial(): Promise<TlsMaterial> {
    return materialFor(["worker"], await makeAuthority("Other authority", validity(-2 * hourMs, hourMs)));
  }
});

describe("roles", () => {
  test("those that may call are served, unary calls and streams alike", async () => {
    const cluster = await serveBoth();
    for (const role of ["worker", "evaluator"] as const) {
      await leave(cluster, { tls: shown[role] });
      await pull(cluster, { tls: shown[role] });
      expect(await watch(cluster, { tls: shown[role] })).toBe(1);
    }
    expect(cluster.reached).toEqual(["Leave", "Pull", "Watch", "Leave", "Pull", "Watch"]);
    expect(cluster.refusals).toEqual([]);
    expect([cluster.server.refusals, cluster.coordinator.refusals]).toEqual([none, none]);
  });

  test("a unary call of another role is refused, naming its role, those allowed and the RPC", async () => {
    const cluster = await serveBoth();
    await expect(leave(cluster, { tls: shown.server })).rejects.toMatchObject({
      code: "permissionDenied",
      message:
        "/downpour.v1.Coordinator/Leave may be called by worker, evaluator, and the caller's certificate is of role server; start this process with the certificate of its own role",
      cause: { code: status.PERMISSION_DENIED },
    });
    expect(cluster.reached).toEqual([]);
    expect(cluster.coordinator.refusals).toEqual({ ...none, wrongRole: 1 });
    expect(cluster.server.refusals).toEqual(none);
  });

  test("a stream of another role is refused before a request of it is read", async () => {
    const cluster = await serveBoth();
    await expect(pull(cluster, { tls: shown.coordinator })).rejects.toMatchObject({
      code: "permissionDenied",
      message: expect.stringMatching(
        /ParameterServer\/Pull may be called by worker, evaluator.*role coordinator/,
      ),
    });
    expect(cluster.reached).toEqual([]);
    expect(cluster.server.refusals).toEqual({ ...none, wrongRole: 1 });
  });

  test("a server stream is refused, too", async () => {
    const cluster = await serveBoth();
    const unnamed = await materialFor([]);
    await expect(watch(cluster, { tls: unnamed })).rejects.toMatchObject({ code: status.PERMISSION_DENIED });
    expect(cluster.reached).toEqual([]);
    expect(cluster.coordinator.refusals).toEqual({ ...none, noRole: 1 });
  });

  test("a certificate without a role may call nothing", async () => {
    const cluster = await serveBoth();
    const unnamed = await materialFor([]);
    await expect(leave(cluster, { tls: unnamed })).rejects.toMatchObject({
      code: "permissionDenied",
      message: expect.stringContaining("the caller's certificate names no role"),
    });
    await expect(pull(cluster, { tls: unnamed })).rejects.toMatchObject({ code: "permissionDenied" });
    expect(cluster.reached).toEqual([]);
  });

  test("a certificate of several roles may what one of them may", async () => {
    const cluster = await serveBoth();
    await leave(cluster, { tls: await materialFor(["server", "worker"]) });
    await expect(leave(cluster, { tls: await materialFor(["server", "admin"]) })).rejects.toMatchObject({
      message: expect.stringContaining("is of role server, admin"),
    });
    expect(cluster.reached).toEqual(["Leave"]);
  });

  test("each peer and RPC is told once, and every refusal is counted", async () => {
    const cluster = await serveBoth();
    for (let i = 0; i < 3; i++) {
      await expect(leave(cluster, { tls: shown.server })).rejects.toThrow();
      await expect(watch(cluster, { tls: await materialFor([]) })).rejects.toThrow();
    }
    expect(cluster.coordinator.refusals).toEqual({ ...none, wrongRole: 3, noRole: 3 });
    expect(cluster.refusals.map(({ reason, peer, rpc }) => [reason, peer, rpc])).toEqual([
      ["wrongRole", "127.0.0.1", "/downpour.v1.Coordinator/Leave"],
      ["noRole", "127.0.0.1", "/downpour.v1.Coordinator/Watch"],
    ]);
  });

  test("a client that was refused and stays is reset after the grace, so that it holds no stream", async () => {
    const cluster = await serveBoth();
    const caller = connectParameterServer(cluster.server.address, 20_000, { tls: shown.admin });
    closing.push(() => caller.close());
    const client = caller.client as InstanceType<typeof services.ParameterServer>;
    // More than one connection may have open at once: none of them is held.
    for (let i = 0; i < limits.streamsPerConnectionMax + 8; i++) {
      const error = await new Promise<ServiceError>((resolve) => client.pull().on("error", resolve));
      expect(error.code).toBe(status.PERMISSION_DENIED);
    }
    expect(cluster.server.refusals.wrongRole).toBe(limits.streamsPerConnectionMax + 8);
  });

  test("without TLS nothing is checked", async () => {
    const cluster = await serveBoth({ tls: false });
    await leave(cluster, {});
    await pull(cluster, {});
    expect(await watch(cluster, {})).toBe(1);
    expect(cluster.reached).toEqual(["Leave", "Pull", "Watch"]);
    expect(cluster.coordinator.refusals).toEqual(none);
  });

  test("a throw-away client certificate may call everything", async () => {
    const { server, client } = await makeCertificates(["127.0.0.1"]);
    const serving = await serve(
      services.ParameterServer.service,
      { Assign: unary(() => ({})) } as never,
      "127.0.0.1",
      0,
      {
        tls: server,
      },
    );
    closing.push(() => serving.close(0));
    const caller = connectParameterServer(serving.address, 20_000, { tls: client });
    closing.push(() => caller.close());
    await caller.call("Assign", {});
    expect(serving.refusals).toEqual(none);
  });

  test("a service that the table does not know is not served over TLS", async () => {
    const { GetJob } = services.Coordinator.service;
    const unknown = { GetJob: { ...GetJob, path: "/downpour.v1.Unknown/GetJob" } };
    const served = serve(unknown, { GetJob: unary(() => ({})) } as never, "127.0.0.1", 0, {
      tls: shown.server,
    });
    await expect(served).rejects.toMatchObject({
      code: "internal",
      message: expect.stringContaining("Unknown/GetJob"),
    });
  });
});

describe("connections are refused before any call:", () => {
  test("a certificate that another authority signed for the right role", async () => {
    const cluster = await serveBoth();
    const foreign = await makeAuthority("Test authority", validity(-hourMs, hourMs));
    const tls = await materialFor(["worker"], foreign);
    await expect(leave(cluster, { tls })).rejects.toMatchObject({ code: "unavailable" });
    await expect(pull(cluster, { tls })).rejects.toMatchObject({ code: "unavailable" });
    expect(cluster.reached).toEqual([]);
  });

  test("a server that poses as the coordinator", async () => {
    const cluster = await serveBoth();
    const caller = connectCoordinator(cluster.server.address, 20_000, { tls: shown.worker });
    closing.push(() => caller.close());
    await expect(caller.call("Leave", {})).rejects.toMatchObject({
      code: "unavailable",
      message: expect.stringContaining("its certificate is of role server, expected coordinator"),
    });
    const other = connectParameterServer(cluster.coordinator.address, 20_000, { tls: shown.coordinator });
    closing.push(() => other.close());
    await expect(other.call("Assign", {})).rejects.toMatchObject({ code: "unavailable" });
  });

  test.each([
    ["that has expired", validity(-2 * hourMs, -hourMs / 2)],
    ["that does not hold yet", validity(hourMs / 2, hourMs)],
  ])("a certificate of the right role %s", async (_, lasts) => {
    const cluster = await serveBoth();
    const tls = await materialFor(["worker"], authority, lasts);
    await expect(leave(cluster, { tls })).rejects.toMatchObject({ code: "unavailable" });
    await expect(pull(cluster, { tls })).rejects.toMatchObject({ code: "unavailable" });
    expect(cluster.reached).toEqual([]);
  });

  test("no certificate, even with the token", async () => {
    const cluster = await serveBoth({ token });
    const client = new services.Coordinator(
      cluster.coordinator.address.replace("127.0.0.1", "localhost"),
      credentials.createSsl(authority.certificate),
    );
    closing.push(() => client.close());
    const metadata = new Metadata();
    metadata.set("authorization", token.toHeader());
    const code = await new Promise((resolve) => {
      client.leave({}, metadata, { deadline: Date.now() + 20_000 }, (error) => resolve(error?.code));
    });
    expect(code).toBe(status.UNAVAILABLE);
    expect(cluster.reached).toEqual([]);
  });
});

describe("the join token", () => {
  test("lets unary calls and streams through, and handlers do not see it", async () => {
    const cluster = await serveBoth({ token });
    const identity = { tls: shown.worker, token };
    await leave(cluster, identity);
    await pull(cluster, identity);
    expect(await watch(cluster, identity)).toBe(1);
    expect(cluster.reached).toEqual(["Leave", "Pull", "Watch"]);
    expect(cluster.metadata[0]?.get("authorization")).toEqual([]);
    expect(cluster.coordinator.refusals).toEqual(none);
  });

  const cases: [string, JoinToken | undefined, "noToken" | "wrongToken", string][] = [
    ["missing", undefined, "noToken", "brought none"],
    ["wrong", otherToken, "wrongToken", "brought another one"],
  ];
  test.each(cases)(
    "%s: every call is refused as unauthenticated, and says why",
    async (_, sent, reason, why) => {
      const cluster = await serveBoth({ token });
      const identity = { tls: shown.worker, ...(sent && { token: sent }) };
      const refused = { code: "unauthenticated", message: expect.stringContaining(why) };
      await expect(leave(cluster, identity)).rejects.toMatchObject(refused);
      await expect(leave(cluster, identity)).rejects.toMatchObject({
        cause: { code: status.UNAUTHENTICATED },
      });
      await expect(pull(cluster, identity)).rejects.toMatchObject(refused);
      await expect(watch(cluster, identity)).rejects.toMatchObject({ code: status.UNAUTHENTICATED });
      expect(cluster.reached).toEqual([]);
      expect(cluster.coordinator.refusals).toEqual({ ...none, [reason]: 3 });
      expect(cluster.server.refusals).toEqual({ ...none, [reason]: 1 });
      // Once by each server.
      expect(cluster.refusals.map(({ reason: told, peer }) => [told, peer])).toEqual([
        [reason, "127.0.0.1"],
        [reason, "127.0.0.1"],
      ]);
    },
  );

  test("does not replace the right role", async () => {
    const cluster = await serveBoth({ token });
    await expect(leave(cluster, { tls: shown.admin, token })).rejects.toMatchObject({
      code: "permissionDenied",
    });
  });

  test("is in no refusal, no error and no object that a log may show", async () => {
    const cluster = await serveBoth({ token });
    const said: unknown[] = [cluster.refusals, cluster.coordinator, cluster.server];
    for (const identity of [
      { tls: shown.worker },
      { tls: shown.worker, token: otherToken },
      { tls: shown.admin, token },
    ]) {
      for (const call of [leave(cluster, identity), pull(cluster, identity)]) {
        said.push(await call.catch((error: unknown) => error));
      }
    }
    expect(cluster.refusals.length).toBeGreaterThan(3);
    const text = said
      .map((what) => `${String(what)} ${JSON.stringify(what)} ${inspect(what, { depth: 12 })}`)
      .join("\n");
    for (const secret of [tokenText, otherText]) expect(text.includes(secret)).toBe(false);
    expect(text).not.toContain("Bearer");
    expect(text).not.toContain("PRIVATE KEY");
  });

  test("is never sent or asked for in plain text", async () => {
    expect(() => connectCoordinator("127.0.0.1:1", 1000, { token })).toThrow(
      expect.objectContaining({ code: "usage", message: expect.stringContaining("over TLS only") }),
    );
    const served = serve(services.Coordinator.service, {} as never, "127.0.0.1", 0, { access: { token } });
    await expect(served).rejects.toMatchObject({ code: "usage" });
  });

  test("callers that are remembered have a bound; beyond it the oldest is told again", async () => {
    const { AccessGuard } = await import("./access.ts");
    const told: string[] = [];
    const guard = new AccessGuard({ token, onRefused: ({ peer }) => told.push(peer) });
    const handlers = guard.protect(services.Coordinator.service, { Leave: unary(() => ({})) } as never);
    const Leave = handlers.Leave as unknown as (call: object, callback: () => void) => void;
    const callFrom = (peer: string) =>
      Leave({ metadata: new Metadata(), getPeer: () => peer, getAuthContext: () => ({}) }, () => undefined);
    for (let i = 0; i <= limits.refusalsRememberedMax; i++) callFrom(`peer${i}:1`);
    callFrom(`peer${limits.refusalsRememberedMax}:2`);
    expect(told).toHaveLength(limits.refusalsRememberedMax + 1);
    callFrom("peer0:3");
    expect(told.at(-1)).toBe("peer0");
    expect(told).toHaveLength(limits.refusalsRememberedMax + 2);
    expect(guard.refusals.noToken).toBe(limits.refusalsRememberedMax + 3);
  });
});
