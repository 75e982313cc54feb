import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Event } from "@downpour/protocol";
import { afterEach, describe, expect, it } from "vitest";
import { CoordinatorProcess } from "./coordinator-process.test.fixture.ts";
import { FakeMember, FakeServer, testJob, until, untilTaken } from "./fake-cluster.test.fixture.ts";
import { hasNatsServer, skippedReason, startNats } from "./nats-server.test.fixture.ts";

const timeoutMs = 60_000;
const closing: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});

function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "coordinator-death-"));
  closing.push(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

function launch(...args: ConstructorParameters<typeof CoordinatorProcess>): CoordinatorProcess {
  const coordinator = new CoordinatorProcess(...args);
  closing.push(() => coordinator.end());
  return coordinator;
}

async function startTraining(address: string) {
  const worker = new FakeMember(address);
  closing.push(() => worker.close());
  const servers: FakeServer[] = [];
  for (let i = 0; i < 2; i++) {
    const server = await FakeServer.start(worker.coordinator);
    servers.push(server);
    closing.push(() => server.die());
  }
  await worker.join("WORKER", "w1");
  await worker.coordinator.call("ReportInitialized", { memberId: worker.memberId });
  return { worker, servers };
}

/** Events as a watcher sees them, from a sequence on. */
function watch(member: FakeMember, afterSequence: number): Event[] {
  const events: Event[] = [];
  const client = member.coordinator.client as unknown as {
    Watch(request: object): NodeJS.EventEmitter & { cancel(): void };
  };
  const stream = client.Watch({ afterSequence });
  stream.on("data", (event: Event) => events.push(event));
  stream.on("error", () => undefined);
  closing.push(() => stream.cancel());
  return events;
}

it(
  "loses no lease and no event when the coordinator is killed, and gives no batch twice",
  async () => {
    const runDirectory = folder();
    const job = testJob();
    const before = launch(job, runDirectory);
    const address = await before.listening;
    const { worker, servers } = await startTraining(address);
    const seen = watch(worker, 0);
    const leases = [await worker.lease(), await worker.lease()];
    const [first] = leases;
    await worker.train(servers, first?.leaseId ?? 0, 0, first?.batches[0] ?? -1);
    await until(() => seen.length >= 5);
    await before.end("SIGKILL");
    // What the process that died may leave of a line.
    const file = join(runDirectory, "events.jsonl");
    const lines = readFileSync(file, "utf8").split("\n").length - 1;

    const after = launch(job, runDirectory, Number(address.split(":")[1]));
    await after.listening;
    const layout = await untilTaken(() => worker.layout());
    expect(layout.serverAddresses).toEqual(servers.map((server) => server.address));
    const third = await worker.lease();
    const held = leases.flatMap((lease) => lease?.batches ?? []);
    expect(third?.batches.some((batch) => held.includes(batch))).toBe(false);
    for (const lease of leases) {
      for (const batch of lease?.batches ?? []) {
        expect(servers.every((server) => server.assigned.length > 0)).toBe(true);
        await worker.train(servers, lease?.leaseId ?? 0, 0, batch);
      }
    }
    expect(await worker.trainAll(servers)).toBe(20 - held.length - (third?.batches.length ?? 0));
    const resumed = watch(worker, lines);
    await until(() => resumed.length > 0);
    expect(resumed[0]?.sequence).toBe(lines + 1);
    expect(JSON.parse(resumed[0]?.json ?? "")).toMatchObject({
      type: "coordinatorStarted",
      coordinatorEpoch: 2,
    });
  },
  timeoutMs,
);

it(
  "ends by itself when another coordinator is started for its job and folder",
  async () => {
    const runDirectory = folder();
    const first = launch(testJob(), runDirectory);
    await startTraining(await first.listening);
    const second = launch(testJob(), runDirectory);
    await second.listening;
    expect(await first.ended()).not.toBe(0);
    expect(second.status).toBeNull();
  },
  timeoutMs,
);

describe.skipIf(!hasNatsServer)(`with its state in NATS${skippedReason}`, () => {
  const natsJob = (servers: readonly string[], name: string) =>
    testJob({ cluster: { state: "nats", nats: { servers } }, top: { name } });

  it(
    "a standby answers nobody, and takes over under a higher epoch when the leader is killed",
    async () => {
      const nats = await startNats();
      closing.push(() => nats.dispose());
      const runDirectory = folder();
      const job = natsJob(nats.addresses, "takeover");
      const leader = launch(job, runDirectory);
      const address = await leader.listening;
      const standby = launch(job, runDirectory, 0);
      const { worker, servers } = await startTraining(address);
      const lease = await worker.lease();
      await worker.train(servers, lease?.leaseId ?? 0, 0, lease?.batches[0] ?? -1);
      const [epochBefore = 0] = servers.map((server) => server.assigned[0]?.coordinatorEpoch);
      expect(await Promise.race([standby.listening, sleep(1500).then(() => "waits")])).toBe("waits");
      await leader.end("SIGKILL");

      const other = new FakeMember(await standby.listening);
      closing.push(() => other.close());
      other.memberId = worker.memberId;
      expect((await other.layout()).serverAddresses).toEqual(servers.map((server) => server.address));
      expect(await other.train(servers, lease?.leaseId ?? 0, 0, lease?.batches[1] ?? -1)).toBe(true);
      await until(() => servers.every((s) => (s.assigned.at(-1)?.coordinatorEpoch ?? 0) > epochBefore));
      const seen = watch(other, 0);
      await until(() => seen.some(({ json }) => json.includes("coordinatorStarted")));
      expect(seen.some(({ json }) => json.includes("memberJoined"))).toBe(true);
    },
    timeoutMs,
  );

  it(
    "a leader that was stopped while another took over ends by itself",
    async () => {
      const nats = await startNats();
      closing.push(() => nats.dispose());
      const job = natsJob(nats.addresses, "deposed");
      const leader = launch(job, folder());
      const address = await leader.listening;
      const standby = launch(job, folder());
      await startTraining(address);
      leader.signal("SIGSTOP");
      await standby.listening;
      leader.signal("SIGCONT");
      expect(await leader.ended()).not.toBe(0);
    },
    timeoutMs,
  );
});
