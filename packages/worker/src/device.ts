import { DownpourError } from "@downpour/errors";
import type { Device } from "@downpour/job";
import { hasNativeTensorflow } from "@downpour/worker/setup";
import { chosenDevice, findDevices } from "./devices.ts";
import { loadPortable } from "./portable.ts";
import { loadTensorflow, type Tensorflow } from "./tensorflow.ts";
import { loadWebgpu } from "./webgpu.ts";

/** What a member computes on, ready. */
export interface ComputeDevice {
  readonly name: Exclude<Device, "auto">;
  readonly tensorflow: Tensorflow;
}

/**
 * Loads what computes on a device.
 *
 * @param threads threads of one op, on cpu
 * @throws environment: this machine does not have the device
 */
export async function openDevice(wanted: Device, threads: number): Promise<ComputeDevice> {
  const name = wanted === "auto" ? await automaticDevice() : wanted;
  switch (name) {
    case "portable":
      return { name, tensorflow: await loadPortable() };
    case "webgpu":
      return { name, tensorflow: await loadWebgpu() };
    default: {
      const tensorflow = loadTensorflow(threads);
      const { isUsingGpuDevice } = tensorflow.backend() as unknown as { isUsingGpuDevice: boolean };
      if (name === "cuda" && !isUsingGpuDevice) {
        throw new DownpourError(
          "environment",
          "device cuda: TensorFlow finds no GPU here. It needs an NVIDIA driver and a libtensorflow built for CUDA " +
            '(DOWNPOUR_LIBTENSORFLOW); "downpour doctor" lists the devices',
        );
      }
      return { name: isUsingGpuDevice ? "cuda" : "cpu", tensorflow };
    }
  }
}

/** The device of `auto`. TensorFlow itself takes a GPU when it is built for one. */
async function automaticDevice(): Promise<Exclude<Device, "auto">> {
  if (hasNativeTensorflow()) return "cpu";
  return chosenDevice(await findDevices(), "auto");
}
