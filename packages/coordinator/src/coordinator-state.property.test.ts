import { checkJob } from "@downpour/job";
import { makeManifest } from "@downpour/parameter-vector";
import fc from "fast-check";
import { expect, it } from "vitest";
import { CoordinatorCore } from "./coordinator-core.ts";
import { type CoordinatorState, parseState } from "./coordinator-state.ts";

const manifest = makeManifest([
  { name: "a", shape: [40, 20], role: "weight", trainable: true, decayed: true },
]);
const data = { fingerprint: "f", trainExamples: 60, validationExamples: 6, testExamples: 6 };

const job = checkJob(
  {
    name: "test",
    data: { set: { name: "digits" }, batchSize: 10, shardBatches: 2 },
    model: { name: "mlp" },
    optimizer: { name: "momentum", momentum: 0.9 },
    learningRate: { initial: 0.1, plateau: { patience: 0, monitor: "loss" } },
    training: { epochs: 4, earlyStopping: { patience: 3 } },
    cluster: { servers: 2, replicas: 1, memberTimeoutMs: 5000 },
  },
  "test",
);

const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant("train"),
      pick: fc.nat({ max: 2 }),
      batches: fc.nat({ max: 2 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("evaluate"), pick: fc.nat({ max: 9 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("inStep"), pick: fc.nat({ max: 1 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("lose"), pick: fc.nat({ max: 1 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("register"), pick: fc.nat({ max: 1 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("leave"), pick: fc.nat({ max: 2 }) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("tick"), pick: fc.nat({ max: 2 }) }) },
);
type Step = typeof step extends fc.Arbitrary<infer S> ? S : never;

/** A core, what it told, and the moves that a cluster makes. */
class Play {
  core: CoordinatorCore;
  nowMs = 0;
  readonly told: unknown[] = [];
  #servers = 0;

  constructor() {
    this.core = new CoordinatorCore(job, 0, (event) => this.told.push(event));
    for (let i = 0; i < 2; i++) this.register();
    this.core.admit(manifest, data, 0);
    for (const name of ["a", "b", "c"]) this.core.join("worker", name, name, 0);
    this.core.reportInitialized("worker-1", 0);
  }

  /** As another process does it: by way of JSON. */
  restart(): void {
    const state: CoordinatorState = parseState(JSON.stringify(this.core.state(1, this.nowMs)));
    this.core = CoordinatorCore.restore(job, state, manifest, this.nowMs, (event) => this.told.push(event));
  }

  register(): void {
    const name = `s${this.#servers++}`;
    if (this.core.servers.hasAll) return;
    this.core.registerServer(name, name, `h:${name}`, this.nowMs);
  }

  play({ kind, ...rest }: Step): unknown {
    const { core } = this;
    const pick = "pick" in rest ? rest.pick : 0;
    this.nowMs += 100;
    const workers = core.membership.present("worker");
    const worker = workers[pick % Math.max(1, workers.length)]?.memberId;
    const slot = core.servers.slots[pick % 2];
    switch (kind) {
      case "train": {
        if (worker === undefined) return undefined;
        const answer = core.acquireLease(worker, this.nowMs);
        if (answer.kind !== "lease") return answer.kind;
        const { leaseId, epoch, batches } = answer.lease;
        for (const batch of batches.slice(0, "batches" in rest ? rest.batches : 0)) {
          const report = {
            batch,
            unreadableExamples: 0,
            stalenessMean: 1,
            stalenessMax: 1,
            clipped: false,
            stepMs: 0,
          };
          core.reportBatches(
            worker,
            leaseId,
            epoch,
            [{ ...report, outcome: "applied", loss: 1 + pick }],
            this.nowMs,
          );
        }
        return { ...answer.lease, deadlineMs: 0 };
      }
      case "evaluate": {
        const { due } = core.evaluations;
        if (due?.kind !== "validation") return due;
        const report = { evaluationId: due.evaluationId, scheduleRevision: core.schedule.revision };
        return core.reportValidation({ ...report, loss: pick / 10, accuracy: 0.5 }, this.nowMs);
      }
      case "inStep":
        if (slot === null || slot === undefined || core.layout === undefined) return undefined;
        core.takeReplicaNotes(
          slot.memberId,
          core.layout.slices.flatMap(({ slice, replica }) => {
            const replicaAddress =
              replica === null ? "" : (core.servers.addresses[replica.serverIndex] ?? "");
            return [
              { sliceIndex: slice.sliceIndex, term: slice.term, replicaAddress, state: "inStep" as const },
            ];
          }),
        );
        return undefined;
      case "lose":
        if (slot !== null && slot !== undefined) core.loseServer(slot.memberId, this.nowMs);
        return undefined;
      case "register":
        this.register();
        core.servers.placeReplicas([true, true]);
        return core.servers.slots;
      case "leave":
        if (worker !== undefined && workers.length > 1) core.leave(worker, this.nowMs);
        return undefined;
      default:
        for (const { memberId } of core.membership.present()) core.membership.heard(memberId, this.nowMs);
        core.tick(this.nowMs);
        return core.lifecycle;
    }
  }

  /** What can be seen of it, without times and what is recent only. */
  get seen() {
    const { core } = this;
    return {
      lifecycle: core.lifecycle,
      layout: core.layout,
      slots: core.servers.slots,
      schedule: core.schedule,
      learningRate: core.learningRate(),
      progress: core.ledger?.progress(),
      leases: core.ledger?.openLeases().map((lease) => ({ ...lease, deadlineMs: 0 })),
      due: core.evaluations.due,
      best: core.evaluations.bestEpoch,
      members: core.membership.members().map(({ memberId, state }) => [memberId, state]),
      staleness: core.figures.totalStaleness(),
      trainingMs: core.training(this.nowMs).trainingMs,
    };
  }
}

it("gives the same answers after a restart from its state, whatever happened before", () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(step, fc.boolean()), { maxLength: 50 }), (steps) => {
      const steady = new Play();
      const restarted = new Play();
      for (const [next, restart] of steps) {
        if (restart) restarted.restart();
        expect(restarted.play(next)).toEqual(steady.play(next));
        expect(restarted.seen).toEqual(steady.seen);
      }
    }),
    { numRuns: 200 },
  );
});

it("refuses a state of another format", () => {
  const text = JSON.stringify({ ...new Play().core.state(1, 0), format: 2 });
  expect(() => parseState(text)).toThrow("the stored state has format 2; this version of Downpour reads 1");
});
