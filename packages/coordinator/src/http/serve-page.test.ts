import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request as httpRequest, type IncomingMessage } from "node:http";
import { request as httpsRequest } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { initCertificates, type JobEvent, JoinToken, loadIdentity, writeJoinToken } from "@downpour/protocol";
import { RecordedRun } from "@downpour/run-history";
import { afterEach, describe, expect, it } from "vitest";
import { InProcessEventBus } from "../event-bus.ts";
import type { TimedEvent } from "../event-history.ts";
import type { JobCommands } from "../job-commands.ts";
import type { RunSource } from "./run-source.ts";
import { type ServedPage, servePage } from "./serve-page.ts";

const pages: ServedPage[] = [];
afterEach(async () => {
  for (const page of pages.splice(0)) await page.close();
});

/** A run that takes commands, and whose events the test makes. */
function fakeRun(historyMax = 10_000) {
  const bus = new InProcessEventBus<TimedEvent>({ historyMax });
  const run = new RecordedRun("fake", "stream", { seed: 1 });
  const asked: unknown[] = [];
  const commands: JobCommands = {
    checkpoint: undefined,
    pause: (reason) => asked.push(["pause", reason]),
    resume: (reason) => asked.push(["resume", reason]),
    dropLearningRate: (factor) => {
      asked.push(["drop", factor]);
      return { learningRate: 0.5, revision: 3 };
    },
    drain: (memberId) => asked.push(["drain", memberId]),
    stop: async (reason) => void asked.push(["stop", reason]),
  };
  const source: RunSource = {
    info: { id: "fake", name: "fake", live: true },
    streamId: "stream",
    state: () => run.state(),
    history: () => run.history.snapshot(),
    follow: (listener, options) => bus.subscribe(listener, options),
    commands,
  };
  const publish = (event: JobEvent) => {
    bus.publish({ timeMs: 1, event });
    run.add(1, event);
  };
  return { bus, source, asked, publish };
}

const paused = (epoch: number): JobEvent => ({ type: "paused", epoch });

async function serve(source: RunSource, more: Partial<Parameters<typeof servePage>[0]> = {}) {
  // A port of its own: the pool of fetch may still hold connections of the page before.
  const port = await freePort();
  const options = { host: "127.0.0.1", port, portOption: "--port N", sources: [source], identity: {} };
  const page = await servePage({ ...options, ...more });
  pages.push(page);
  return page.url;
}

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await new Promise<number>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
  });
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const post = (url: string, body: unknown) =>
  fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
  });

/** Reads server-sent events until so many job events came; the connection is left as it is. */
async function readEvents(url: string, count: number, lastEventId?: string) {
  const headers = lastEventId === undefined ? {} : { "last-event-id": lastEventId };
  const response = await fetch(url, { headers });
  const ids: string[] = [];
  const kinds: string[] = [];
  let text = "";
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  while (kinds.filter((kind) => kind === "job").length < count) {
    const next = await reader?.read();
    if (next === undefined || next.done) break;
    text += next.value;
    const blocks = text.split("\n\n");
    text = blocks.pop() ?? "";
    for (const block of blocks) {
      kinds.push(/^event: (\w+)$/m.exec(block)?.[1] ?? "comment");
      const id = /^id: (.+)$/m.exec(block)?.[1];
      if (id !== undefined) ids.push(id);
    }
  }
  await reader?.cancel();
  return { status: response.status, ids, kinds };
}

describe("the live page's server", () => {
  it("answers runs, state and history, compressed when they are long, and refuses what there is not", async () => {
    const { source, publish } = fakeRun();
    for (let i = 0; i < 100; i++) publish(paused(i));
    const url = await serve(source);
    expect(await (await fetch(`${url}api/v1/runs`)).json()).toEqual({
      runs: [{ id: "fake", name: "fake", live: true }],
    });
    expect(await (await fetch(`${url}api/v1/state`)).json()).toMatchObject({ name: "fake", sequence: 100 });
    const history = await fetch(`${url}api/v1/history?run=fake`);
    expect(history.headers.get("content-encoding")).toBe("gzip");
    expect(await history.json()).toMatchObject({ streamId: "stream", sequence: 100 });
    const other = await fetch(`${url}api/v1/state?run=other`);
    expect([other.status, await other.json()]).toEqual([
      404,
      { error: { code: "notFound", message: 'there is no run "other" here; expected one of fake' } },
    ]);
    for (const path of ["api/v1/nothing", "api/v2/state", "api/v1/constructor"]) {
      expect((await fetch(url + path)).status, path).toBe(404);
    }
  });

  it("hands commands on, each with what it takes", async () => {
    const { source, asked } = fakeRun();
    const url = `${await serve(source)}api/v1/`;
    expect((await post(`${url}pause`, { reason: "lunch" })).status).toBe(200);
    expect((await post(`${url}resume`, "")).status).toBe(200);
    expect(await (await post(`${url}drop`, { factor: 0.5 })).json()).toEqual({
      learningRate: 0.5,
      revision: 3,
    });
    expect((await post(`${url}drop`, {})).status).toBe(200);
    expect((await post(`${url}drain`, { memberId: "worker-1" })).status).toBe(200);
    expect((await post(`${url}stop`, {})).status).toBe(200);
    expect(asked).toEqual([
      ["pause", "lunch"],
      ["resume", ""],
      ["drop", 0.5],
      ["drop", undefined],
      ["drain", "worker-1"],
      ["stop", ""],
    ]);
    expect((await post(`${url}checkpoint`, {})).status).toBe(409);
  });

  it("refuses commands that are malformed, and gives none of them on", async () => {
    const { source, asked } = fakeRun();
    const url = `${await serve(source)}api/v1/`;
    for (const body of ["{", "[]", "null", "7", "x".repeat(5000), { factor: "half" }]) {
      expect((await post(`${url}drop`, body)).status, String(body)).toBe(400);
    }
    expect((await post(`${url}drain`, {})).status).toBe(400);
    expect((await fetch(`${url}pause`)).status).toBe(405);
    expect(
      (await fetch(`${url}state`, { method: "POST", headers: { "content-type": "application/json" } }))
        .status,
    ).toBe(405);
    expect((await fetch(`${url}pause`, { method: "POST", body: "a=1" })).status).toBe(415);
    const cross = { origin: "http://evil.example", "content-type": "application/json" };
    expect((await fetch(`${url}pause`, { method: "POST", headers: cross })).status).toBe(403);
    expect(asked).toEqual([]);
  });

  it("calls `checkpoint` where the coordinator has it", async () => {
    const { source } = fakeRun();
    let written = 0;
    const checkpoint = async () => {
      written += 1;
    };
    const commands = { ...(source.commands as JobCommands), checkpoint };
    const url = await serve({ ...source, commands });
    expect((await post(`${url}api/v1/checkpoint`, {})).status).toBe(200);
    expect(written).toBe(1);
  });

  it("sends the events that come after the last one seen, without loss or repetition", async () => {
    const { source, publish } = fakeRun();
    for (let i = 0; i < 5; i++) publish(paused(i));
    const url = `${await serve(source)}api/v1/events`;
    expect((await readEvents(url, 5)).ids).toEqual([1, 2, 3, 4, 5].map((n) => `stream:${n}`));
    const resumed = readEvents(url, 4, "stream:3");
    publish(paused(5));
    publish(paused(6));
    expect(await resumed).toEqual({
      status: 200,
      ids: [4, 5, 6, 7].map((n) => `stream:${n}`),
      kinds: ["job", "job", "job", "job"],
    });
  });

  it("tells of a gap: events of another stream, or that are not kept any more", async () => {
    const { source, publish } = fakeRun(4);
    for (let i = 0; i < 10; i++) publish(paused(i));
    const url = `${await serve(source)}api/v1/events`;
    expect(await readEvents(url, 4, "another:3")).toMatchObject({
      kinds: ["gap", "job", "job", "job", "job"],
    });
    expect(await readEvents(url, 4, "stream:2")).toMatchObject({
      ids: ["stream:7", "stream:8", "stream:9", "stream:10"],
      kinds: ["gap", "job", "job", "job", "job"],
    });
  });

  it("holds no more than a few events for a reader that reads nothing, and tells it of the gap later", async () => {
    const historyMax = 50;
    const { source, publish } = fakeRun(historyMax);
    const url = await serve(source);
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      httpRequest(`${url}api/v1/events`, resolve).on("error", reject).end();
    });
    response.pause();
    const big = "x".repeat(100_000);
    const event = { type: "memberJoined", memberId: big, role: "worker", name: "n" } as const;
    for (let i = 0; i < 400; i++) {
      publish(event);
      // The event loop turns, so that the server can write whatever it would.
      await new Promise((resolve) => setImmediate(resolve));
    }
    publish(paused(1));
    let sent = 0;
    let text = "";
    let gaps = 0;
    response.setEncoding("utf8");
    for await (const chunk of response) {
      sent += (chunk as string).length;
      if ((chunk as string).includes("event: gap")) gaps += 1;
      text = (text + (chunk as string)).slice(-200_000);
      if (text.includes('"paused"')) break;
    }
    // 40 MB were published. What arrived is what the bus kept, and what sockets and kernel held.
    expect(sent).toBeLessThan(25_000_000);
    expect(text).toContain('"paused"');
    expect(gaps).toBeGreaterThan(0);
  });

  it("takes any free port where the usual one is in use, but says so when that very port was asked for", async () => {
    const taken = createServer();
    const port = await new Promise<number>((resolve) => {
      taken.listen(0, "127.0.0.1", () => resolve((taken.address() as { port: number }).port));
    });
    try {
      await expect(serve(fakeRun().source, { port })).rejects.toMatchObject({
        code: "environment",
        message: `the live page can't be served: port ${port} of 127.0.0.1 is in use; choose another one (--port N), or leave it out for any that is free`,
      });
      const [one, two] = [
        await serve(fakeRun().source, { port: undefined }),
        await serve(fakeRun().source, { port: undefined }),
      ];
      expect(one).not.toBe(two);
    } finally {
      taken.close();
    }
  });

  it("does not listen where others reach it in a cluster without join token", async () => {
    const refused = serve(fakeRun().source, { host: "0.0.0.0" });
    await expect(refused).rejects.toMatchObject({
      code: "usage",
      message: expect.stringContaining("join token"),
    });
    const token = new JoinToken("t".repeat(40), "test");
    // Without certificates this is not how a coordinator starts; here it shows that the token is asked for.
    const url = await serve(fakeRun().source, { host: "0.0.0.0", identity: { token } });
    const port = new URL(url).port;
    const away = `http://127.0.0.1:${port}/api/v1/state`;
    expect((await fetch(away)).status).toBe(401);
    expect((await fetch(away, { headers: { authorization: `Bearer ${"u".repeat(40)}` } })).status).toBe(401);
    expect((await fetch(away, { headers: { authorization: token.toHeader() } })).status).toBe(200);
  });

  it("speaks HTTPS with the coordinator's certificate where others reach it, and asks for no certificate back", async () => {
    const directory = mkdtempSync(join(tmpdir(), "downpour-page-"));
    try {
      const hosts = ["127.0.0.1", "localhost"];
      await initCertificates({ directory, hosts, days: 1, now: new Date() });
      await writeJoinToken(join(directory, "join-token"));
      const files = { tlsDirectory: directory, joinTokenFile: join(directory, "join-token") };
      const identity = await loadIdentity(files, "coordinator");
      const url = new URL(await serve(fakeRun().source, { host: "0.0.0.0", identity }));
      expect(url.protocol).toBe("https:");
      const ca = readFileSync(join(directory, "ca.pem"));
      const ask = (headers: Record<string, string>) =>
        new Promise<number | undefined>((resolve, reject) => {
          const away = `https://127.0.0.1:${url.port}/api/v1/state`;
          httpsRequest(away, { ca, headers, agent: false }, (response) => {
            response.resume();
            resolve(response.statusCode);
          })
            .on("error", reject)
            .end();
        });
      expect(await ask({})).toBe(401);
      expect(await ask({ authorization: identity.token?.toHeader() ?? "" })).toBe(200);
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  });

  it("sends a policy that lets nothing in from elsewhere", async () => {
    const response = await fetch(await serve(fakeRun().source));
    const policy = response.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("frame-ancestors 'none'");
    expect(policy).not.toMatch(/unsafe|\*|https?:/);
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
  });
});
