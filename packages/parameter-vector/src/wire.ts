import { DownpourError } from "@downpour/errors";
import { type Manifest, makeManifest, type TensorRole } from "./manifest.ts";

/** The manifest as `downpour.v1.Manifest` carries it. */
export interface WireManifest {
  tensors: {
    name: string;
    shape: number[];
    offset: number;
    role: WireTensorRole;
    trainable: boolean;
    decayed: boolean;
  }[];
  length: number;
  fingerprint: string;
}

type WireTensorRole =
  | "TENSOR_ROLE_UNSPECIFIED"
  | "TENSOR_ROLE_WEIGHT"
  | "TENSOR_ROLE_BIAS"
  | "TENSOR_ROLE_NORM_SCALE"
  | "TENSOR_ROLE_MOVING_STATISTIC";

const wireRoles: Readonly<Record<TensorRole, WireTensorRole>> = {
  weight: "TENSOR_ROLE_WEIGHT",
  bias: "TENSOR_ROLE_BIAS",
  normScale: "TENSOR_ROLE_NORM_SCALE",
  movingStatistic: "TENSOR_ROLE_MOVING_STATISTIC",
};

export function manifestToWire(manifest: Manifest): WireManifest {
  return {
    tensors: manifest.tensors.map((tensor) => ({
      ...tensor,
      shape: [...tensor.shape],
      role: wireRoles[tensor.role],
    })),
    length: manifest.length,
    fingerprint: manifest.fingerprint,
  };
}

/**
 * Reads a manifest off the wire and checks it by laying it out anew.
 * @throws invalidArgument: no manifest, an unknown role, or offsets and fingerprint that do not follow from it
 */
export function manifestFromWire(wire: WireManifest | null): Manifest {
  if (wire === null) throw new DownpourError("invalidArgument", "the message has no manifest");
  const manifest = makeManifest(
    wire.tensors.map((tensor) => ({
      name: tensor.name,
      shape: tensor.shape,
      role: roleFromWire(tensor.role, tensor.name),
      trainable: tensor.trainable,
      decayed: tensor.decayed,
    })),
  );
  const moved = manifest.tensors.find((tensor, i) => tensor.offset !== wire.tensors[i]?.offset);
  if (moved !== undefined) {
    throw new DownpourError(
      "invalidArgument",
      `tensor ${moved.name} begins at ${moved.offset} in the parameter vector, but the message puts it elsewhere; ` +
        "do both sides run the same version?",
    );
  }
  if (manifest.fingerprint !== wire.fingerprint || manifest.length !== wire.length) {
    throw new DownpourError(
      "invalidArgument",
      `the manifest's fingerprint is ${manifest.fingerprint} (${manifest.length} elements), but the message ` +
        `says ${wire.fingerprint} (${wire.length}); do both sides run the same version?`,
    );
  }
  return manifest;
}

function roleFromWire(role: WireTensorRole, name: string): TensorRole {
  for (const [known, wire] of Object.entries(wireRoles)) {
    if (wire === role) return known as TensorRole;
  }
  throw new DownpourError("invalidArgument", `tensor ${name} has the unknown role ${role}`);
}
