import { DownpourError, messageOf } from "@downpour/errors";
import {
  type Manifest,
  manifestFromWire,
  manifestToWire,
  type WireManifest,
} from "@downpour/parameter-vector";
import { coordinatorFiles } from "./part-names.ts";
import type { PartContent } from "./server-part.ts";

/** What the order of examples and everything else that is drawn follows from. */
export interface RandomState {
  readonly seed: number;
  /** The lowest epoch that is not complete. */
  readonly epoch: number;
}

/** The part of a checkpoint that the coordinator writes. JSON values of its own types; here they are not looked into. */
export interface CoordinatorPart {
  readonly ledger: unknown;
  readonly schedule: unknown;
  readonly random: RandomState;
  /** The job with all defaults resolved. */
  readonly job: unknown;
}

/** The files that the coordinator writes; the tensors of the parameter vector among them. */
export function encodeCoordinatorPart(manifest: Manifest, part: CoordinatorPart): PartContent[] {
  const { ledger, schedule, random, job } = part;
  const contents = { ledger, schedule, random, job, parameters: manifestToWire(manifest) };
  const encoder = new TextEncoder();
  return Object.entries(contents).map(([name, value]) => ({
    file: coordinatorFiles[name as keyof typeof coordinatorFiles],
    chunks: [encoder.encode(`${JSON.stringify(value, null, 2)}\n`)],
  }));
}

/**
 * The inverse of {@link encodeCoordinatorPart}. Ledger, schedule and job are as JSON has them; who knows their types
 * checks them.
 * @param read the content of a file of the checkpoint, its checksum verified
 * @param where the checkpoint, named in errors
 * @throws corruptData: a file is no JSON, the tensors do not follow from each other, or the random state is none
 */
export async function decodeCoordinatorPart(
  read: (file: string) => Promise<Uint8Array>,
  where: string,
): Promise<CoordinatorPart & { readonly manifest: Manifest }> {
  const parse = async <T>(file: string, check: (value: unknown) => T): Promise<T> => {
    const text = new TextDecoder().decode(await read(file));
    try {
      return check(JSON.parse(text));
    } catch (error) {
      throw new DownpourError("corruptData", `${where}/${file} can't be read: ${messageOf(error)}`, {
        cause: error,
      });
    }
  };
  const asItIs = (value: unknown) => value;
  return {
    ledger: await parse(coordinatorFiles.ledger, asItIs),
    schedule: await parse(coordinatorFiles.schedule, asItIs),
    job: await parse(coordinatorFiles.job, asItIs),
    random: await parse(coordinatorFiles.random, checkRandomState),
    manifest: await parse(coordinatorFiles.parameters, (value) => manifestFromWire(value as WireManifest)),
  };
}

function checkRandomState(value: unknown): RandomState {
  const { seed, epoch } = (value ?? {}) as Partial<RandomState>;
  if (Number.isSafeInteger(seed) && Number.isSafeInteger(epoch)) return { seed, epoch } as RandomState;
  throw new DownpourError(
    "corruptData",
    `expected the integers seed and epoch, found ${JSON.stringify(value)}`,
  );
}
