import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { freePorts } from "@downpour/faults";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { describeEventBus } from "./event-bus.test.suite.ts";
import type { Sequenced } from "./event-log.ts";
import { NatsConnection } from "./nats-connection.ts";
import { NatsEventBus, type NatsEventBusOptions } from "./nats-event-bus.ts";
import { eventStreamOf } from "./nats-names.ts";
import {
  errorOf,
  hasNatsServer,
  type NatsUnderTest,
  skippedReason,
  startNats,
  startNatsCluster,
  until,
} from "./nats-server.test.fixture.ts";

const timeout = 60_000;
const requestTimeoutMs = 1_000;

let made = 0;
function freshJob(): string {
  made += 1;
  return `job.v${made}`;
}

type BusOptions = Partial<NatsEventBusOptions<string>>;

/** A bus of text events; its end is part of the test's. */
async function open(
  nats: NatsUnderTest,
  job: string,
  options: BusOptions = {},
): Promise<NatsEventBus<string>> {
  const all = { servers: nats.addresses, requestTimeoutMs, typeOf: (event: string) => event, ...options };
  const bus = await NatsEventBus.open<string>(job, all);
  onTestFinished(() => bus.close());
  return bus;
}

/** What a listener gets from a sequence on: events as they come, and what it missed, in brackets. */
function follow(bus: NatsEventBus<string>, fromSequence = 1): string[] {
  const seen: string[] = [];
  bus.subscribe(({ event }) => void seen.push(event), {
    fromSequence,
    onMissed: (missed) => seen.push(`[${missed.fromSequence} to ${missed.toSequence}]`),
  });
  return seen;
}

const numbered = (count: number, from = 1) => Array.from({ length: count }, (_, i) => `e${from + i}`);

describe.skipIf(!hasNatsServer)(`NatsEventBus on one server${skippedReason}`, { timeout }, () => {
  let nats: NatsUnderTest;
  beforeAll(async () => {
    nats = await startNats();
  }, timeout);
  afterAll(() => nats?.dispose());

  describeEventBus("NatsEventBus", (historyMax) =>
    NatsEventBus.open<string>(freshJob(), {
      servers: nats.addresses,
      requestTimeoutMs,
      historyMax,
      typeOf: (event) => event,
    }),
  );

  it("carries events to every process, all in one order, and goes on with the sequence when it is opened again", async () => {
    const job = freshJob();
    const [one, two] = [await open(nats, job), await open(nats, job)];
    const seen = [follow(one), follow(two)];
    for (const event of numbered(200)) (Number(event.slice(1)) % 2 === 0 ? one : two).publish(event);
    await until("both saw all", () => seen.every(({ length }) => length === 200));
    expect(seen[0]).toEqual(seen[1]);
    expect([...(seen[0] ?? [])].sort()).toEqual(numbered(200).sort());
    await one.close();
    const three = await open(nats, job);
    const next = new Promise<Sequenced<string>>((resolve) => void three.subscribe(resolve));
    three.publish("again");
    expect(await next).toEqual({ sequence: 201, event: "again" });
  });

  it("publishes under downpour.<job>.events.<type>, as JSON", async () => {
    const bus = await open(nats, "a.job", { typeOf: () => "batch done" });
    const seen = follow(bus);
    bus.publish("ä");
    await until("it is there", () => seen.length === 1);
    const connection = await NatsConnection.open("test", { servers: nats.addresses });
    const message = await connection.manager.streams.getMessage(eventStreamOf("a.job"), { seq: 1 });
    expect(message.subject).toBe("downpour.a_2ejob.events.batch_20done");
    expect(Buffer.from(message.data).toString()).toBe('"ä"');
    await connection.close();
  });

  it("drops what it cannot send, says so, and goes on", async () => {
    const troubles: unknown[] = [];
    const cyclic: unknown[] = [];
    cyclic.push(cyclic);
    const options = {
      servers: nats.addresses,
      typeOf: () => "any",
      onTrouble: (error: unknown) => void troubles.push(error),
    };
    const bus = await NatsEventBus.open<unknown>(freshJob(), options);
    onTestFinished(() => bus.close());
    const seen: unknown[] = [];
    bus.subscribe(({ event }) => void seen.push(event));
    for (const event of ["a", cyclic, "v".repeat(2 ** 21), "b"]) bus.publish(event);
    await until("the rest has come", () => seen.length === 2);
    expect(seen).toEqual(["a", "b"]);
    expect(bus.droppedCount).toBe(2);
    expect(troubles).toMatchObject([{ code: "invalidArgument" }, { code: "resourceExhausted" }]);
  });

  it("leaves out a message that is no JSON, and says so", async () => {
    const job = freshJob();
    const troubles: unknown[] = [];
    const bus = await open(nats, job, { onTrouble: (error) => void troubles.push(error) });
    const connection = await NatsConnection.open("test", { servers: nats.addresses });
    await connection.streams.publish(`downpour.${job.replace(".", "_2e")}.events.x`, "not JSON");
    await connection.close();
    bus.publish("a");
    const seen = follow(bus);
    await until("the next has come", () => seen.length === 1);
    expect(troubles).toMatchObject([{ code: "corruptData", message: expect.stringContaining("event 1 of") }]);
  });

  it("tells listeners what they missed while the process was cut off", async () => {
    const proxy = await CuttableWay.start(nats.addresses[0] ?? "");
    onTestFinished(() => proxy.cut());
    const job = freshJob();
    const near = await open(nats, job, { historyMax: 4 });
    const far = await open(nats, job, { historyMax: 4, servers: [proxy.address] });
    const seen = follow(far);
    near.publish("a");
    await until("the first has come", () => seen.length === 1);
    await proxy.cut();
    const nearSeen = follow(near, 2);
    for (const event of numbered(10)) near.publish(event);
    await until("all are published", () => nearSeen.length === 10);
    await proxy.restore();
    await until("it is up to date", () => seen.at(-1) === "e10");
    expect(seen).toEqual(["a", "[2 to 7]", "e7", "e8", "e9", "e10"]);
  });
});

describe.skipIf(!hasNatsServer)(
  `NatsEventBus and a server that is not there${skippedReason}`,
  { timeout },
  () => {
    it("names the address and the next step when no server answers", async () => {
      const [port] = await freePorts(1);
      const opening = NatsEventBus.open("j", { servers: [`127.0.0.1:${port}`], typeOf: () => "any" });
      const error = await errorOf(opening);
      expect(error.code).toBe("unavailable");
      expect(error.message).toContain(`NATS at 127.0.0.1:${port} is not reachable`);
    });

    it("keeps events while the server is away, and delivers each once, in order, when it is back", async () => {
      const nats = await startNats();
      onTestFinished(nats.dispose);
      const troubles: unknown[] = [];
      const bus = await open(nats, "j", { onTrouble: (error) => void troubles.push(error) });
      const seen = follow(bus);
      const expected = numbered(400);
      for (const event of expected.slice(0, 100)) bus.publish(event);
      await until("some have come", () => seen.length > 20);
      await nats.servers[0]?.stop();
      for (const event of expected.slice(100, 300)) bus.publish(event);
      await until("it was said", () => troubles.length > 0);
      await nats.servers[0]?.start();
      await until("all have come", () => seen.length >= 300);
      for (const event of expected.slice(300)) bus.publish(event);
      await until("the rest has come", () => seen.at(-1) === "e400");
      expect(seen).toEqual(expected);
      expect(bus.droppedCount).toBe(0);
      for (const trouble of troubles) expect(trouble).toMatchObject({ code: "unavailable" });
    });

    it("drops the oldest of too many events that wait, says so once, and counts", async () => {
      const nats = await startNats();
      onTestFinished(nats.dispose);
      const troubles: { code?: string }[] = [];
      const onTrouble = (error: unknown): void => void troubles.push(error as { code?: string });
      const bus = await open(nats, "j", { queueMax: 5, onTrouble });
      const seen = follow(bus);
      bus.publish("first");
      await until("the first has come", () => seen.length === 1);
      await nats.servers[0]?.stop();
      bus.publish("e0");
      await until("it was said", () => troubles.length > 0);
      for (const event of numbered(10)) bus.publish(event);
      await nats.servers[0]?.start();
      await until("the last has come", () => seen.at(-1) === "e10");
      // The one that was being sent is not dropped.
      expect(seen).toEqual(["first", "e0", "e7", "e8", "e9", "e10"]);
      expect(bus.droppedCount).toBe(6);
      expect(troubles.filter(({ code }) => code === "resourceExhausted")).toHaveLength(1);
    });

    it("sends what waits before it closes, and says what it could not send", async () => {
      const nats = await startNats();
      onTestFinished(nats.dispose);
      const troubles: string[] = [];
      const closing = await open(nats, "j", {
        onTrouble: (error) => void troubles.push((error as Error).message),
      });
      for (const event of numbered(20)) closing.publish(event);
      await closing.close();
      const bus = await open(nats, "j", {
        onTrouble: (error) => void troubles.push((error as Error).message),
      });
      const seen = follow(bus);
      await until("all have come", () => seen.length === 20);
      expect(troubles).toEqual([]);
      await nats.servers[0]?.stop();
      for (const event of numbered(3)) bus.publish(event);
      const startMs = performance.now();
      await bus.close();
      expect(performance.now() - startMs).toBeLessThan(2 * requestTimeoutMs + 1_500);
      expect(troubles.at(-1)).toContain("3 events were not sent before the bus was closed");
    });
  },
);

describe.skipIf(!hasNatsServer)(`NatsEventBus on three nodes${skippedReason}`, { timeout: 120_000 }, () => {
  it("delivers each event once, in order, while any one node is killed", async () => {
    const nats = await startNatsCluster();
    onTestFinished(nats.dispose);
    let bus: NatsEventBus<string> | undefined;
    await until("the cluster takes a stream", async () => {
      bus = await open(nats, "j", { replicas: 3 }).catch(() => undefined);
      return bus !== undefined;
    });
    if (bus === undefined) throw new Error("no bus");
    const seen = follow(bus);
    let count = 0;
    for (const node of nats.servers) {
      for (const event of numbered(50, count + 1)) bus.publish(event);
      await node.stop();
      for (const event of numbered(50, count + 51)) bus.publish(event);
      count += 100;
      await until(`${count} events have come`, () => seen.length >= count);
      await node.start();
      await until("the node is part of the cluster again", () => isWhole(nats));
    }
    expect(seen).toEqual(numbered(count));
  });
});

/** Whether all three nodes hold all of the stream. */
async function isWhole(nats: NatsUnderTest): Promise<boolean> {
  const connection = await NatsConnection.open("test", { servers: nats.addresses, requestTimeoutMs });
  try {
    const { cluster } = await connection.manager.streams.info(eventStreamOf("j"));
    const peers = cluster?.replicas ?? [];
    return peers.length === 2 && peers.every(({ current, lag }) => current && !lag);
  } catch {
    return false;
  } finally {
    await connection.close();
  }
}

/** A way to a server that can be cut. */
class CuttableWay {
  readonly #target: string;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #port = 0;

  private constructor(target: string) {
    this.#target = target;
  }

  static async start(target: string): Promise<CuttableWay> {
    const proxy = new CuttableWay(target);
    await proxy.restore();
    return proxy;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  async restore(): Promise<void> {
    const [host, port] = this.#target.split(":");
    const server = createServer((near) => {
      const far = connect(Number(port), host);
      for (const socket of [near, far]) {
        this.#sockets.add(socket);
        socket.on("error", () => socket.destroy());
      }
      near.pipe(far).pipe(near);
    });
    await new Promise<void>((resolve) => server.listen(this.#port, "127.0.0.1", resolve));
    this.#port = (server.address() as AddressInfo).port;
    this.#server = server;
  }

  async cut(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
    await closed;
  }
}
