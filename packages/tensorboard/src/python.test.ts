import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import sharp from "sharp";
import { afterAll, describe, expect, it } from "vitest";
import { EventFile, scalar, text } from "./event-file.ts";
import { histogramOf, histogramOfCounts } from "./histogram.ts";

const python = process.env.DOWNPOUR_PYTHON || undefined;
const module = "tensorboard.backend.event_processing.event_accumulator";

/** Why Python can't read event files here, or undefined. */
function missing(): string | undefined {
  if (python === undefined) return "DOWNPOUR_PYTHON is not set";
  const found = spawnSync(python, ["-c", `import ${module}`], { encoding: "utf8" });
  if (found.status === 0) return undefined;
  return `${python}: ${found.error?.message ?? found.stderr.trim().split("\n").at(-1)}`;
}

const reason = missing();
const folder = mkdtempSync(join(tmpdir(), "downpour-board-"));
afterAll(() => rmSync(folder, { recursive: true }));

const read = `
import json, sys
from ${module} import EventAccumulator
found = EventAccumulator(sys.argv[1], size_guidance={"histograms": 0, "images": 0, "scalars": 0, "tensors": 0})
found.Reload()
names = ["min", "max", "num", "sum", "bucket_limit", "bucket"]
histograms = {
    tag: [(h.step, {name: getattr(h.histogram_value, name) for name in names}) for h in found.Histograms(tag)]
    for tag in found.Tags()["histograms"]
}
print(json.dumps({
    "scalars": {tag: [(s.step, s.wall_time, s.value) for s in found.Scalars(tag)] for tag in found.Tags()["scalars"]},
    "histograms": histograms,
    "images": {
        tag: [(i.step, i.width, i.height, len(i.encoded_image_string)) for i in found.Images(tag)]
        for tag in found.Tags()["images"]
    },
    "texts": {
        tag: [(t.step, t.tensor_proto.string_val[0].decode()) for t in found.Tensors(tag)]
        for tag in found.Tags()["tensors"]
    },
}))
`;

describe.skipIf(reason !== undefined)(
  `Python's TensorBoard${reason === undefined ? "" : ` (skipped: ${reason})`}`,
  // On a busy machine it takes long to import.
  { timeout: 300_000 },
  () => {
    it("reads scalars, histograms, images and texts as they were written", async () => {
      const png = await sharp({ create: { width: 5, height: 3, channels: 3, background: "red" } })
        .png()
        .toBuffer();
      const file = new EventFile(folder, 1_800_000_000_000);
      file.add(1, [scalar("loss", 0.5), scalar("workers", 2)], 1_800_000_001_000);
      file.add(2, [scalar("loss", 0.25)], 1_800_000_002_500);
      const histo = histogramOf([0, 1, 1.5, 2, 4], 4);
      const counts = histogramOfCounts([0, 2, 0, 1]);
      if (histo === undefined || counts === undefined) throw new Error("there are values");
      const image = { width: 5, height: 3, colorspace: 3, encodedImageString: png };
      const values = [
        { tag: "weights/a", histo },
        { tag: "staleness", histo: counts },
        { tag: "samples", image },
        text("predictions", "| a | b |"),
      ];
      file.add(2, values, 1_800_000_003_000);
      file.close();
      const run = spawnSync(python ?? "", ["-c", read, folder], { encoding: "utf8" });
      if (run.status !== 0) throw new Error(run.stderr);
      const { scalars, histograms, images, texts } = JSON.parse(run.stdout) as Record<
        string,
        Record<string, unknown>
      >;
      expect(scalars).toEqual({
        loss: [
          [1, 1_800_000_001, 0.5],
          [2, 1_800_000_002.5, 0.25],
        ],
        workers: [[1, 1_800_000_001, 2]],
      });
      expect(histograms?.["weights/a"]).toEqual([
        [
          2,
          expect.objectContaining({
            min: 0,
            max: 4,
            num: 5,
            sum: 8.5,
            bucket_limit: [1, 2, 3, 4],
            bucket: [1, 2, 1, 1],
          }),
        ],
      ]);
      expect(histograms?.staleness).toEqual([
        [2, expect.objectContaining({ bucket_limit: [1.5, 2.5, 3.5], bucket: [2, 0, 1] })],
      ]);
      expect(images).toEqual({ samples: [[2, 5, 3, png.length]] });
      expect(texts).toEqual({ predictions: [[2, "| a | b |"]] });
    });
  },
);
