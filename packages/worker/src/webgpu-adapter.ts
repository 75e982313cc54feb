import { execFile } from "node:child_process";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

/** A GPU that WebGPU can reach, in the words of its driver, which may leave any of them empty. */
export interface WebgpuAdapter {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  /** Whether a processor only stands in for a GPU: right, but much slower than the other devices. */
  readonly software: boolean;
}

/** What looking for an adapter gave. */
export type WebgpuFinding =
  | { readonly kind: "found"; readonly adapter: WebgpuAdapter }
  | { readonly kind: "none"; readonly reason: string };

/** What the looking process writes; null without an adapter. */
interface AdapterInfo {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly isFallbackAdapter: boolean;
}

/** A driver that hangs is given up after this long. */
const probeTimeoutMs = 20_000;

const probe = `
const { create } = await import(process.argv[1]);
const adapter = await create([]).requestAdapter({ powerPreference: "high-performance" });
const { vendor, architecture, device, description, isFallbackAdapter } = adapter?.info ?? {};
const info = adapter ? { vendor, architecture, device, description, isFallbackAdapter } : null;
process.stdout.write(JSON.stringify(info));
`;

/**
 * Looks for the adapter that a computation would get. Never throws, and leaves nothing open: another process looks,
 * so that a driver's complaints, crashes and memory stay out of this one.
 */
export function findWebgpuAdapter(): Promise<WebgpuFinding> {
  const entry = pathToFileURL(createRequire(import.meta.url).resolve("webgpu")).href;
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      ["--input-type=module", "--eval", probe, entry],
      { timeout: probeTimeoutMs, windowsHide: true },
      (error, stdout, stderr) => {
        if (error?.killed) {
          resolve({ kind: "none", reason: `the driver did not answer within ${probeTimeoutMs / 1000} s` });
        } else if (error?.signal) {
          resolve({ kind: "none", reason: `the driver ended the process with ${error.signal}` });
        } else {
          resolve(findingOf(stdout, stderr));
        }
      },
    );
  });
}

/** The adapter that WebGPU computes on; undefined without one. Never throws, and leaves nothing open. */
export async function describeWebgpuAdapter(): Promise<WebgpuAdapter | undefined> {
  const finding = await findWebgpuAdapter();
  return finding.kind === "found" ? finding.adapter : undefined;
}

/** Reads what the looking process wrote. */
export function findingOf(stdout: string, stderr: string): WebgpuFinding {
  const info = parsed(stdout);
  if (info !== null) return { kind: "found", adapter: adapterOf(info) };
  // Dawn's own words, without the place in its source: "Warning: Couldn't load Vulkan: libvulkan.so.1: ...".
  const complaint = stderr.split("\n").find((line) => /^\s*(\w*Error|Warning): /.test(line));
  return { kind: "none", reason: complaint?.replace(/^\s*Warning: /, "").trim() ?? "the system offers none" };
}

function parsed(text: string): AdapterInfo | null {
  try {
    return JSON.parse(text) as AdapterInfo | null;
  } catch {
    return null;
  }
}

/** Names of drivers that compute on the processor: SwiftShader, Mesa's llvmpipe, Windows' WARP. */
const softwareNames = /swiftshader|llvmpipe|lavapipe|basic render/i;

function adapterOf(info: AdapterInfo): WebgpuAdapter {
  const { vendor, architecture, device } = info;
  const description = info.description || device;
  const software = info.isFallbackAdapter || softwareNames.test(`${architecture} ${device} ${description}`);
  return { vendor, architecture, description, software };
}

/** How to get a WebGPU adapter on a platform. */
export function webgpuFix(platform: NodeJS.Platform): string {
  switch (platform) {
    case "linux":
      return (
        "Install the Vulkan loader and the GPU's driver (Debian, Ubuntu: sudo apt-get install libvulkan1 " +
        "mesa-vulkan-drivers; NVIDIA's driver brings its own), or name a driver's file with VK_DRIVER_FILES"
      );
    case "darwin":
      return "Use a Mac with Metal: macOS 11 or newer, not over a virtual machine without a GPU";
    case "win32":
      return "Install the GPU's driver with Direct3D 12";
    default:
      return "Use Linux, macOS or Windows on x64 or arm64";
  }
}

/** Through what WebGPU reaches a GPU on a platform. */
export function webgpuApi(platform: NodeJS.Platform): string {
  if (platform === "darwin") return "Metal";
  return platform === "win32" ? "Direct3D 12" : "Vulkan";
}
