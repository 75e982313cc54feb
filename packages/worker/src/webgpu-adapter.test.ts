import { describe, expect, it } from "vitest";
import { findingOf, webgpuFix } from "./webgpu-adapter.ts";

const info = { vendor: "nvidia", architecture: "hopper", device: "", description: "NVIDIA H200" };

describe("findingOf", () => {
  it("takes an adapter that computes on a GPU as it is", () => {
    expect(findingOf(JSON.stringify({ ...info, isFallbackAdapter: false }), "")).toEqual({
      kind: "found",
      adapter: { vendor: "nvidia", architecture: "hopper", description: "NVIDIA H200", software: false },
    });
  });

  it.each([
    { isFallbackAdapter: true },
    { architecture: "swiftshader" },
    { description: "llvmpipe (LLVM 15.0.6, 256 bits)" },
    { description: "", device: "Microsoft Basic Render Driver" },
  ])("knows a processor that stands in for a GPU: %o", (change) => {
    const finding = findingOf(JSON.stringify({ ...info, isFallbackAdapter: false, ...change }), "");
    expect(finding).toMatchObject({ kind: "found", adapter: { software: true } });
  });

  it("names Dawn's reason when there is no adapter", () => {
    const stderr =
      "Warning: Couldn't load Vulkan: libvulkan.so.1: cannot open shared object file\n    at operator() (BackendVk.cpp:368)\n";
    expect(findingOf("null", stderr)).toEqual({
      kind: "none",
      reason: "Couldn't load Vulkan: libvulkan.so.1: cannot open shared object file",
    });
  });

  it("takes a process that failed for no adapter, with its error", () => {
    const stderr =
      "node:internal/modules\n    at x\n\nError: Cannot find module './linux-riscv64/dawn.node'\n";
    expect(findingOf("", stderr)).toEqual({
      kind: "none",
      reason: "Error: Cannot find module './linux-riscv64/dawn.node'",
    });
    expect(findingOf("null", "")).toEqual({ kind: "none", reason: "the system offers none" });
  });
});

describe("webgpuFix", () => {
  it("names the loader, the driver and VK_DRIVER_FILES on Linux", () => {
    expect(webgpuFix("linux")).toMatch(/libvulkan1 .*mesa-vulkan-drivers.*VK_DRIVER_FILES/);
  });
});
