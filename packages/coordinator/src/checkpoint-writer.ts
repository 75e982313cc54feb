import { join } from "node:path";
import {
  commitCheckpoint,
  encodeCoordinatorPart,
  folderNameOf,
  listCheckpoints,
  nextCheckpointId,
  type PartRecord,
  removeCheckpoints,
  writePart,
} from "@downpour/checkpoint";
import { DownpourError, messageOf } from "@downpour/errors";
import type { Logger } from "@downpour/logging";
import { type CheckpointReason, isTransient, type JobEvent } from "@downpour/protocol";
import type { Figures } from "./best.ts";
import { checkpointManifestOf, coordinatorPartOf } from "./checkpoint-content.ts";
import type { Converger } from "./converger.ts";
import type { CoordinatorCore } from "./coordinator-core.ts";
import { primaryIndices } from "./layout-view.ts";
import type { ServerLinks } from "./server-links.ts";

/** Servers have so long to write their parts. */
const writeTimeoutMs = 10 * 60_000;

/** One that was due and failed because somebody was away is tried again after so long. */
const retryPauseMs = 5000;

/** A folder without manifest in which nothing was written for so long is a left-over. */
const abandonedAfterMs = 60 * 60_000;

export interface CheckpointWriterOptions {
  readonly core: CoordinatorCore;
  readonly links: ServerLinks;
  readonly converger: Converger;
  /** Folder of all checkpoints. */
  readonly store: string;
  readonly logger: Logger;
  /** A clock that never goes back, in milliseconds. */
  readonly nowMs: () => number;
  readonly emit: (event: JobEvent) => void;
}

/** A checkpoint that was committed. */
export interface CommittedCheckpoint {
  readonly sequence: number;
  readonly path: string;
  readonly bytes: number;
}

/** Writes checkpoints: when training begins, by the clock, on command, and when it has ended. One at a time. */
export class CheckpointWriter {
  readonly #options: CheckpointWriterOptions;
  #turn: Promise<unknown> = Promise.resolve();
  #busy = 0;
  /** When the latest attempt began; undefined before the first. */
  #attemptMs: number | undefined;
  #trainedDone = false;
  /** One that was due and could not be written because somebody was away. */
  #again: { readonly reason: CheckpointReason; readonly fromMs: number } | undefined;
  #validation: Figures | null = null;

  constructor(options: CheckpointWriterOptions) {
    this.#options = options;
  }

  /** Writes one now. @throws unavailable: not all slices are where they belong; else why it could not be written */
  write(reason: CheckpointReason): Promise<CommittedCheckpoint> {
    this.#busy++;
    const written = this.#turn
      .then(() => this.#write(reason))
      .finally(() => {
        this.#busy--;
      });
    this.#turn = written.catch(() => undefined);
    return written;
  }

  /** Begins one where it is due. Never rejects; what goes wrong is an event, and tried again at the next time. */
  tick(): void {
    const reason = this.#due();
    if (reason !== undefined && this.#busy === 0 && this.#isPossible())
      void this.write(reason).catch(() => undefined);
  }

  /** Resolves when the trained weights are in a checkpoint, or an event says why not; after one that is being written. */
  async finish(): Promise<void> {
    await this.#turn;
    const reason = this.#due();
    if (reason !== undefined) await this.write(reason).catch(() => undefined);
  }

  #due(): CheckpointReason | undefined {
    const { core, nowMs } = this.#options;
    const { kind } = core.lifecycle;
    const again = this.#again;
    if (again !== undefined && (again.reason === "trained") === (kind === "evaluating")) {
      return nowMs() < again.fromMs ? undefined : again.reason;
    }
    if (kind === "training" && this.#attemptMs === undefined) return "initialized";
    if (kind === "training") {
      this.#trainedDone = false;
      const { everySeconds } = core.job.checkpoint;
      const due = everySeconds > 0 && nowMs() - (this.#attemptMs ?? 0) >= everySeconds * 1000;
      return due ? "schedule" : undefined;
    }
    return kind === "evaluating" && !core.roundsDue && !this.#trainedDone ? "trained" : undefined;
  }

  /** Every server has acknowledged what it has. */
  #isPossible(): boolean {
    const { core, converger } = this.#options;
    if (core.layout === undefined || !core.initialized || !core.servers.isReachable) return false;
    const ready = converger.ready();
    return primaryIndices(core.layout).every((index) => ready[index]);
  }

  async #write(reason: CheckpointReason): Promise<CommittedCheckpoint> {
    const { core, nowMs, emit, logger } = this.#options;
    const startMs = nowMs();
    this.#attemptMs = startMs;
    if (reason === "trained") this.#trainedDone = true;
    if (reason !== "command") this.#again = undefined;
    try {
      const epochsPassed = core.ledger?.progress().epochsPassed ?? 0;
      const committed = await this.#writeAndCommit(reason === "schedule" || reason === "command");
      const seconds = (nowMs() - startMs) / 1000;
      const { sequence, path, bytes } = committed;
      emit({ type: "checkpointed", reason, sequence, path, epochsPassed, seconds, bytes });
      await this.#removeOld();
      return committed;
    } catch (error) {
      const message = `no checkpoint was written: ${messageOf(error)}`;
      logger.warn({ err: error }, message);
      emit({ type: "checkpointFailed", reason, message });
      const later = reason !== "command" && isTransient(error);
      if (later) this.#again = { reason, fromMs: nowMs() + retryPauseMs };
      throw error;
    }
  }

  /** @param paced training goes on, and is not to be slowed down */
  async #writeAndCommit(paced: boolean): Promise<CommittedCheckpoint> {
    const { core, links, store, nowMs } = this.#options;
    const { layout, job } = core;
    if (layout === undefined || !this.#isPossible()) {
      throw new DownpourError(
        "unavailable",
        "there are no weights yet, or not every server has its slices; ask again",
      );
    }
    const { coordinatorEpoch } = links;
    const known = await listCheckpoints(store, { verify: "sizes" });
    const id = nextCheckpointId(
      known.map((entry) => entry.id),
      coordinatorEpoch,
    );
    const writers = primaryIndices(layout);
    const parts = await Promise.all(
      writers.map(async (index, writerIndex): Promise<PartRecord[]> => {
        const link = links.at(index);
        if (link === undefined) throw new DownpourError("unavailable", `server ${index} is missing`);
        const request = {
          coordinatorEpoch,
          layoutRevision: layout.revision,
          store,
          sequence: id.sequence,
          writerIndex,
          writerCount: writers.length,
          paced,
        };
        return (await link.caller.call("WriteCheckpoint", request, writeTimeoutMs)).parts;
      }),
    );
    if (core.layout?.rollback !== layout.rollback) {
      throw new DownpourError("unavailable", "slices went back to another checkpoint meanwhile");
    }
    const validation = this.#newValidation();
    const files = parts.flat();
    // After the servers: the ledger then knows at least of what the slices have.
    for (const part of encodeCoordinatorPart(layout.manifest, coordinatorPartOf(core, nowMs()))) {
      files.push(await writePart(store, id, part));
    }
    const createdAtMs = Date.now();
    const serverCount = writers.length;
    const manifest = checkpointManifestOf({ id, createdAtMs, job, layout, serverCount, validation, files });
    await commitCheckpoint(store, manifest);
    this.#validation = core.evaluations.latest;
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    return { sequence: id.sequence, path: join(store, folderNameOf(id)), bytes };
  }

  /** The latest validation, if it came since the checkpoint before. */
  #newValidation(): Figures | null {
    const { latest } = this.#options.core.evaluations;
    const isNew = latest !== this.#validation && latest !== null && Number.isFinite(latest.loss);
    return isNew ? { loss: latest.loss, accuracy: latest.accuracy } : null;
  }

  async #removeOld(): Promise<void> {
    const { core, store, logger } = this.#options;
    const { keepLast, keepBest } = core.job.checkpoint;
    const policy = { keepLast, keepBest, bestBy: core.job.evaluation.monitor, abandonedAfterMs };
    const fingerprint = core.layout?.manifest.fingerprint;
    const expectation = fingerprint === undefined ? {} : { parametersFingerprint: fingerprint };
    try {
      const removed = await removeCheckpoints(store, policy, Date.now(), expectation);
      if (removed.length > 0) logger.info({ removed }, "removed checkpoints");
    } catch (error) {
      logger.warn({ err: error }, `old checkpoints could not be removed: ${messageOf(error)}`);
    }
  }
}
