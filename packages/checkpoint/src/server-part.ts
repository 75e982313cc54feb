import { DownpourError } from "@downpour/errors";
import type { Manifest, SliceRange } from "@downpour/parameter-vector";
import { type ServerPlace, slotFile, stateFile, weightsFile } from "./part-names.ts";
import { decodeSafetensors, type ScatteredTensor, safetensorsChunks } from "./safetensors.ts";
import { decodeServerState, encodeServerState, type SliceState } from "./server-state.ts";
import { type ServerSnapshot, type SliceSnapshot, slotNamesOf } from "./slice-snapshot.ts";
import { type SliceArray, scatterInto, tensorPieces, viewsOf } from "./tensor-pieces.ts";

/** A file of a checkpoint before it is written. */
export interface PartContent {
  readonly file: string;
  /** Its bytes, in order; views that must not change until they are written. */
  readonly chunks: readonly Uint8Array[];
}

/**
 * The files that a server writes: its state, its weights, and one per optimizer slot. Arrays are not copied: the chunks
 * are views of the snapshot's.
 * @throws invalidArgument: slices with different slots, an array of another length than its slice, or a model whose
 *   tensors are named so that a piece of one has the name of another
 */
export function encodeServerPart(manifest: Manifest, snapshot: ServerSnapshot): PartContent[] {
  const { slices } = snapshot;
  for (const slice of slices) checkArrays(slice);
  const weights = slices.map(({ range, weights: data }) => ({ range, data }));
  const parts = [
    { file: stateFile(snapshot), chunks: [encodeServerState(manifest, snapshot)] },
    { file: weightsFile(snapshot), chunks: encodeArrays(manifest, weights, snapshot) },
  ];
  const trained = slices.filter((slice) => !slice.isStatistic);
  for (const name of slotNamesOf(trained)) {
    const arrays = trained.map(({ range, slots }) => ({ range, data: slots.get(name) as Float32Array }));
    parts.push({ file: slotFile(snapshot, name), chunks: encodeArrays(manifest, arrays, snapshot) });
  }
  return parts;
}

function checkArrays({ range, isStatistic, weights, slots }: SliceSnapshot): void {
  const wrong = [["weights", weights] as const, ...slots].find(([, array]) => array.length !== range.length);
  if (wrong !== undefined) {
    throw new DownpourError(
      "invalidArgument",
      `the ${wrong[0]} of slice ${range.sliceIndex} have ${wrong[1].length} elements; the slice has ${range.length}`,
    );
  }
  if (isStatistic && slots.size > 0) {
    throw new DownpourError(
      "invalidArgument",
      `slice ${range.sliceIndex} holds moving statistics and has optimizer slots; expected none`,
    );
  }
}

function encodeArrays(manifest: Manifest, arrays: readonly SliceArray[], place: ServerPlace): Uint8Array[] {
  const tensors: ScatteredTensor[] = [];
  const names = new Set<string>();
  for (const { name, shape, offset, length, isPadding } of tensorPieces(
    manifest,
    arrays.map(({ range }) => range),
  )) {
    const runs = viewsOf(arrays, offset, length);
    if (isPadding && runs.every(isZero)) continue;
    if (names.has(name)) {
      throw new DownpourError(
        "invalidArgument",
        `two tensors of the checkpoint would be named ${name}; name the model's layers without "#"`,
      );
    }
    names.add(name);
    tensors.push({ name, shape, runs });
  }
  return safetensorsChunks(tensors, {
    format: "downpour",
    server: `${place.serverIndex} of ${place.serverCount}`,
    parameters: manifest.fingerprint,
  });
}

/** All bits are zero: -0 is not. */
function isZero(run: Float32Array): boolean {
  return run.every((value) => Object.is(value, 0));
}

/**
 * The inverse of {@link encodeServerPart}, bit for bit.
 * @param read the content of a file of the same checkpoint, its checksum verified
 * @param where the checkpoint, named in errors
 * @param needed slices to give back; files that have nothing of them are not read. Left out: all
 * @throws corruptData: what is in the files does not belong together, or is of another model
 */
export async function decodeServerPart(
  manifest: Manifest,
  place: ServerPlace,
  read: (file: string) => Promise<Uint8Array>,
  where: string,
  needed: (range: SliceRange) => boolean = () => true,
): Promise<ServerSnapshot> {
  const { serverIndex, serverCount } = place;
  const state = decodeServerState(manifest, await read(stateFile(place)), `${where}/${stateFile(place)}`);
  if (state.serverIndex !== serverIndex || state.serverCount !== serverCount) {
    throw new DownpourError(
      "corruptData",
      `${where}/${stateFile(place)} says that it is of server ${state.serverIndex} of ${state.serverCount}`,
    );
  }
  const kept = state.slices.filter(({ range }) => needed(range));
  const load = async (file: string, stored: readonly SliceState[]) => {
    const arrays = kept
      .filter((slice) => stored.includes(slice))
      .map(({ range }) => ({ range, data: new Float32Array(range.length) }));
    if (arrays.length > 0) {
      const ranges = stored.map(({ range }) => range);
      decodeArrays(manifest, ranges, arrays, await read(file), `${where}/${file}`);
    }
    return new Map(arrays.map(({ range, data }) => [range.sliceIndex, data]));
  };
  const weights = await load(weightsFile(place), state.slices);
  const trained = state.slices.filter((slice) => !slice.isStatistic);
  const slots = new Map<string, ReadonlyMap<number, Float32Array>>();
  for (const name of state.slotNames) slots.set(name, await load(slotFile(place, name), trained));
  const slices = kept.map((slice) => {
    const index = slice.range.sliceIndex;
    const own = slice.isStatistic
      ? []
      : [...slots].map(([name, arrays]) => [name, arrays.get(index) as Float32Array] as const);
    return { ...slice, weights: weights.get(index) as Float32Array, slots: new Map(own) };
  });
  return { serverIndex, serverCount, batchesPerEpoch: state.batchesPerEpoch, slices };
}

/** @param stored slices of which the file has elements; `arrays` are those of some of them */
function decodeArrays(
  manifest: Manifest,
  stored: readonly SliceRange[],
  arrays: readonly SliceArray[],
  bytes: Uint8Array,
  source: string,
): void {
  const tensors = decodeSafetensors(bytes, source);
  for (const { name, offset, length, isPadding } of tensorPieces(manifest, stored)) {
    const found = tensors.get(name);
    if (found === undefined && isPadding) continue;
    if (found?.length !== length) {
      throw new DownpourError(
        "corruptData",
        `${source} has ${found?.length ?? 0} elements of ${name}, expected ${length}; it is of another model`,
      );
    }
    scatterInto(arrays, offset, found);
  }
}
