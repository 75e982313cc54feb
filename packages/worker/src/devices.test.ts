import { describe, expect, it } from "vitest";
import { chosenDevice, type DeviceFindings, findDevices, nvidiaGpusOf, reportDevices } from "./devices.ts";

const adapter = { vendor: "amd", architecture: "rdna-3", description: "Radeon RX 7900", software: false };

/** A machine with everything, changed. */
function reports(change: Partial<DeviceFindings> = {}) {
  return reportDevices({
    platform: "linux",
    tensorflow: true,
    nvidiaGpus: ["NVIDIA H200"],
    tensorflowUsesGpu: true,
    webgpu: { kind: "found", adapter },
    ...change,
  });
}

const bare: Partial<DeviceFindings> = {
  tensorflow: false,
  nvidiaGpus: [],
  tensorflowUsesGpu: undefined,
  webgpu: { kind: "none", reason: "the system offers none" },
};

describe("chosenDevice", () => {
  it.each([
    ["cuda where TensorFlow computes on an NVIDIA GPU", {}, "cuda"],
    ["cpu where TensorFlow does not compute on the NVIDIA GPU", { tensorflowUsesGpu: false }, "cpu"],
    ["webgpu where TensorFlow is not linked", { tensorflow: false, tensorflowUsesGpu: undefined }, "webgpu"],
    ["portable where nothing else is", bare, "portable"],
    [
      "portable before a processor that stands in for a GPU",
      { ...bare, webgpu: { kind: "found" as const, adapter: { ...adapter, software: true } } },
      "portable",
    ],
  ])("auto takes %s", (_claim, change, device) => {
    expect(chosenDevice(reports(change), "auto")).toBe(device);
  });

  it("takes a device that is named, also a processor that stands in for a GPU", () => {
    const software = { ...adapter, software: true };
    expect(chosenDevice(reports({ webgpu: { kind: "found", adapter: software } }), "webgpu")).toBe("webgpu");
  });

  it.each([
    ["cpu", /library is not linked\. Run "npm run setup".*these work: portable$/],
    ["cuda", /no NVIDIA GPU found\. Needs an NVIDIA GPU and its driver/],
    ["webgpu", /no adapter found through Vulkan: the system offers none\. .*VK_DRIVER_FILES/],
  ] as const)(
    "refuses %s where it does not work, with what is lacking and how to get it",
    (device, message) => {
      expect(() => chosenDevice(reports(bare), device)).toThrow(message);
    },
  );
});

describe("reportDevices", () => {
  it("tells an NVIDIA GPU that the linked TensorFlow can't use from none", () => {
    const cuda = reports({ tensorflowUsesGpu: false }).find(({ device }) => device === "cuda");
    expect(cuda).toMatchObject({
      available: false,
      detail: expect.stringMatching(/NVIDIA H200.*does not compute on it/),
    });
    expect(cuda?.fix).toContain("DOWNPOUR_LIBTENSORFLOW");
  });

  it("says how to get every device that does not work, and nothing more of those that do", () => {
    for (const report of [...reports(), ...reports(bare)]) {
      expect(report.fix === undefined, report.device).toBe(report.available);
    }
  });
});

describe("nvidiaGpusOf", () => {
  it("reads the names of nvidia-smi -L", () => {
    const listing = "GPU 0: NVIDIA H200 (UUID: GPU-1f2e)\nGPU 1: NVIDIA L4 (UUID: GPU-77aa)\n";
    expect(nvidiaGpusOf(listing)).toEqual(["NVIDIA H200", "NVIDIA L4"]);
    expect(nvidiaGpusOf("No devices found.\n")).toEqual([]);
  });
});

describe("findDevices", () => {
  it("reports each device once, and that portable works", { timeout: 120_000 }, async () => {
    const found = await findDevices();
    expect(found.map(({ device }) => device).sort()).toEqual(["cpu", "cuda", "portable", "webgpu"]);
    expect(chosenDevice(found, "portable")).toBe("portable");
  });
});
