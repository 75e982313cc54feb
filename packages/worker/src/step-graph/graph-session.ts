import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NodeBinding, TensorHandle } from "../native/node-backend.ts";
import { outputName, savedModelOf } from "./graph-def.ts";
import type { Recording } from "./recording.ts";

/** A recording loaded into TensorFlow as one graph. Release it when it is not used any more. */
export class GraphSession {
  readonly #binding: NodeBinding;
  readonly #id: number;
  readonly #feeds: string;
  readonly #fetches: string;

  /** @throws Error: TensorFlow refuses the graph */
  constructor(binding: NodeBinding, recording: Recording) {
    this.#binding = binding;
    this.#feeds = Array.from({ length: recording.feedCount }, (_, node) =>
      outputName({ node, output: 0 }),
    ).join(",");
    this.#fetches = recording.fetches.map(outputName).join(",");
    // The binding loads graphs from a folder only.
    const folder = mkdtempSync(join(tmpdir(), "downpour-graph-"));
    try {
      mkdirSync(join(folder, "variables"));
      writeFileSync(join(folder, "saved_model.pb"), savedModelOf(recording, binding));
      this.#id = binding.loadSavedModel(folder, "serve");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** Runs the graph. @returns the fetches, which the caller deletes */
  run(feedIds: readonly number[]): TensorHandle[] {
    return this.#binding.runSavedModel(this.#id, feedIds, this.#feeds, this.#fetches);
  }

  release(): void {
    this.#binding.deleteSavedModel(this.#id);
  }
}
