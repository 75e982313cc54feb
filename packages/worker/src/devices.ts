import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { promisify } from "node:util";
import { DownpourError } from "@downpour/errors";
import type { Device } from "@downpour/job";
import { hasNativeTensorflow } from "@downpour/worker/setup";
import { findWebgpuAdapter, type WebgpuFinding, webgpuApi, webgpuFix } from "./webgpu-adapter.ts";

/** What a member may compute on, once `auto` is decided. */
export type DeviceName = Exclude<Device, "auto">;

/** Whether a device works on this machine. */
export interface DeviceReport {
  readonly device: DeviceName;
  readonly available: boolean;
  /** Whether `auto` may choose it. */
  readonly automatic: boolean;
  /** What was found, or what is lacking. */
  readonly detail: string;
  /** How to get it; absent when available. */
  readonly fix?: string;
}

/** What was found on a machine. */
export interface DeviceFindings {
  readonly platform: NodeJS.Platform;
  /** Whether libtensorflow and its addon are linked into tfjs-node. */
  readonly tensorflow: boolean;
  /** Names of the NVIDIA GPUs; empty without one, or without its driver. */
  readonly nvidiaGpus: readonly string[];
  /** Whether TensorFlow itself computes on a GPU; undefined where it was not asked, for lack of either. */
  readonly tensorflowUsesGpu: boolean | undefined;
  readonly webgpu: WebgpuFinding;
}

/** In which order `auto` takes them. */
const automaticOrder: readonly DeviceName[] = ["cuda", "cpu", "webgpu", "portable"];

/** Looks for the devices of this machine; takes seconds, since drivers are asked. In the order that `auto` prefers. */
export async function findDevices(): Promise<DeviceReport[]> {
  const [nvidiaGpus, webgpu] = await Promise.all([findNvidiaGpus(), findWebgpuAdapter()]);
  const tensorflow = hasNativeTensorflow();
  const asked = tensorflow && nvidiaGpus.length > 0;
  const tensorflowUsesGpu = asked ? await usesGpu() : undefined;
  return reportDevices({ platform: process.platform, tensorflow, nvidiaGpus, tensorflowUsesGpu, webgpu });
}

/** Judges what was found, in the order that `auto` prefers. */
export function reportDevices(findings: DeviceFindings): DeviceReport[] {
  const reports: Readonly<Record<DeviceName, Omit<DeviceReport, "device">>> = {
    cuda: cuda(findings),
    cpu: cpu(findings),
    webgpu: webgpu(findings),
    portable: { available: true, automatic: true, detail: "WebAssembly; needs nothing but Node" },
  };
  return automaticOrder.map((device) => ({ device, ...reports[device] }));
}

/**
 * The device that a member computes on. `auto` is the first that works of cuda, cpu, webgpu on a real GPU, portable.
 *
 * @throws environment: the wanted device does not work here
 */
export function chosenDevice(reports: readonly DeviceReport[], wanted: Device): DeviceName {
  const found =
    wanted === "auto"
      ? automaticOrder.map((name) => reports.find(({ device }) => device === name)).find((r) => r?.automatic)
      : reports.find(({ device }) => device === wanted);
  if (found?.available) return found.device;
  const lack = found === undefined ? "nothing is known of it" : found.detail;
  const working = reports.filter(({ available }) => available).map(({ device }) => device);
  throw new DownpourError(
    "environment",
    `device ${wanted} does not work on this machine: ${lack}. ${found?.fix ?? 'Run "downpour doctor"'}; ` +
      `these work: ${working.join(", ") || "none"}`,
  );
}

const setupFix = 'Run "npm run setup" in the project';

function cpu({ tensorflow }: DeviceFindings): Omit<DeviceReport, "device"> {
  return tensorflow
    ? { available: true, automatic: true, detail: "TensorFlow's library and the addon are linked" }
    : { available: false, automatic: false, detail: "TensorFlow's library is not linked", fix: setupFix };
}

function cuda({ tensorflow, nvidiaGpus, tensorflowUsesGpu }: DeviceFindings): Omit<DeviceReport, "device"> {
  const lacking = { available: false, automatic: false };
  if (nvidiaGpus.length === 0) {
    const fix = "Needs an NVIDIA GPU and its driver, in containers with the NVIDIA Container Toolkit";
    return { ...lacking, detail: "no NVIDIA GPU found", fix };
  }
  const gpus = nvidiaGpus.join(", ");
  if (!tensorflow)
    return { ...lacking, detail: `${gpus}; TensorFlow's library is not linked`, fix: setupFix };
  if (!tensorflowUsesGpu) {
    return {
      ...lacking,
      detail: `${gpus}; the linked TensorFlow does not compute on it`,
      fix:
        "Set DOWNPOUR_LIBTENSORFLOW to a TensorFlow built for CUDA (the wheel of tensorflow, with CUDA and cuDNN " +
        'where the loader finds them), then run "npm run setup"',
    };
  }
  return { available: true, automatic: true, detail: gpus };
}

function webgpu({ webgpu: finding, platform }: DeviceFindings): Omit<DeviceReport, "device"> {
  if (finding.kind === "none") {
    const detail = `no adapter found through ${webgpuApi(platform)}: ${finding.reason}`;
    return { available: false, automatic: false, detail, fix: webgpuFix(platform) };
  }
  const { vendor, architecture, description, software } = finding.adapter;
  const name = [vendor, architecture, description].filter((word) => word !== "").join(", ");
  const note = software ? "; computes on the processor, slowly, so auto passes it over" : "";
  return { available: true, automatic: !software, detail: `${name}${note}` };
}

const run = promisify(execFile);

/** A driver that hangs is given up after this long. */
const nvidiaTimeoutMs = 10_000;

/** Where the driver's kernel module shows itself, also without its tools. */
const nvidiaDriverFile = "/proc/driver/nvidia/version";

async function findNvidiaGpus(): Promise<string[]> {
  try {
    const { stdout } = await run("nvidia-smi", ["-L"], { timeout: nvidiaTimeoutMs, windowsHide: true });
    return nvidiaGpusOf(stdout);
  } catch {
    return existsSync(nvidiaDriverFile) ? ["NVIDIA GPU"] : [];
  }
}

/** Reads "GPU 0: NVIDIA H200 (UUID: GPU-…)", one per line. */
export function nvidiaGpusOf(listing: string): string[] {
  return [...listing.matchAll(/^GPU \d+: (.*?)(?: \(UUID: .*)?$/gm)].map((match) => match[1] as string);
}

/** TensorFlow looks for CUDA's libraries while it starts. */
const tensorflowTimeoutMs = 60_000;

const askTensorflow = `
const { createRequire } = await import("node:module");
const tf = createRequire(process.argv[1])(process.argv[1]);
process.stdout.write(String(tf.backend().isUsingGpuDevice));
`;

/** Asks TensorFlow itself, in another process: it would take the GPU's memory in this one. */
async function usesGpu(): Promise<boolean> {
  const entry = createRequire(import.meta.url).resolve("@tensorflow/tfjs-node");
  const options = { timeout: tensorflowTimeoutMs, windowsHide: true };
  try {
    const { stdout } = await run(
      process.execPath,
      ["--input-type=module", "--eval", askTensorflow, entry],
      options,
    );
    return stdout.endsWith("true");
  } catch {
    return false;
  }
}
