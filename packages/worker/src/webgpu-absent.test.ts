import { expect, it } from "vitest";
import { loadWebgpu } from "./webgpu.ts";
import { describeWebgpuAdapter } from "./webgpu-adapter.ts";

const isLinux = process.platform === "linux";

it.skipIf(!isLinux)(
  `without an adapter, says what was tried and what to do${isLinux ? "" : " (skipped: drivers can be hidden on Linux only)"}`,
  async () => {
    process.env.VK_DRIVER_FILES = "/nowhere/driver.json";
    expect(await describeWebgpuAdapter()).toBeUndefined();
    const failure = await loadWebgpu().catch((error: unknown) => error);
    expect(failure).toMatchObject({
      code: "environment",
      message: expect.stringMatching(
        /^no WebGPU adapter found through Vulkan: .+libvulkan1.+VK_DRIVER_FILES.+--device portable.+--device cpu/,
      ),
    });
  },
);
