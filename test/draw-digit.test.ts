import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { buildModel } from "@downpour/models";
import { makeManifest } from "@downpour/parameter-vector";
import { exportModel, findModel, loadModel, predictImages } from "@downpour/trained-model";
import { openDevice, writeModel } from "@downpour/worker";
import { afterAll, describe, expect, it } from "vitest";

const chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((path) => existsSync(path));
const folder = mkdtempSync(join(tmpdir(), "downpour-page-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A LeNet-5 that has learnt nothing: its answers are as good as any to compare. */
async function makeModel(): Promise<string> {
  const { tensorflow } = await openDevice("portable", 1);
  const preprocessing = {
    ...{ height: 28, width: 28, channels: 1, resize: 1, classNames: [..."0123456789"] },
    normalization: { kind: "perChannel" as const, mean: [0.13], deviation: [0.31] },
  };
  const options = { name: "lenet5", activation: "relu", pooling: "max" } as const;
  const { model } = await buildModel(options, { ...preprocessing, classCount: 10 }, 5);
  const kernel = { name: "a", shape: [1], role: "weight", trainable: true, decayed: true } as const;
  const manifest = makeManifest([kernel]);
  const vector = new Float32Array(manifest.length);
  await writeModel(tensorflow, join(folder, "model"), { model, manifest, vector, preprocessing });
  const trained = await loadModel(tensorflow, findModel(folder));
  await exportModel(trained, "tfjs", join(folder, "browser"));
  return join(folder, "browser");
}

/** Starts the page's server on any free port. */
async function servePage(model: string) {
  const script = fileURLToPath(new URL("../examples/draw-digit/serve.mjs", import.meta.url));
  const child = spawn(process.execPath, [script, model, "0"], { stdio: ["ignore", "pipe", "inherit"] });
  const url = await new Promise<string>((resolve) => {
    child.stdout.once("data", (line: Buffer) => resolve(line.toString().trim()));
  });
  return { url, stop: () => child.kill() };
}

describe.skipIf(chromium === undefined)(
  "the page that classifies a drawing (skipped without Chromium)",
  () => {
    it("gives the probabilities that Node gives for what the network sees", async () => {
      const model = await makeModel();
      const { url, stop } = await servePage(model);
      try {
        const args = [
          "--headless",
          "--disable-gpu",
          "--virtual-time-budget=60000",
          "--dump-dom",
          `${url}#draw`,
        ];
        const root = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
        const profile = `--user-data-dir=${join(folder, "profile")}`;
        const { stdout } = await promisify(execFile)(chromium ?? "", [...root, profile, ...args]);
        expect(stdout).toMatch(/<p id="verdict"[^>]*>This is \d \(\d+ %\)</);
        const told = [...stdout.matchAll(/data-probability="([^"]+)"/g)].map((match) => Number(match[1]));
        const seen = /src="data:image\/png;base64,([^"]+)"/.exec(stdout)?.[1] ?? "";
        const file = join(folder, "seen.png");
        writeFileSync(file, Buffer.from(seen, "base64"));
        const { tensorflow } = await openDevice("portable", 1);
        const trained = await loadModel(tensorflow, findModel(model));
        const [prediction] = await predictImages(trained, [file]);
        expect(told).toHaveLength(10);
        for (const { classIndex, probability } of prediction?.classes ?? []) {
          expect(told[classIndex]).toBeCloseTo(probability, 5);
        }
      } finally {
        stop();
      }
    });
  },
);
