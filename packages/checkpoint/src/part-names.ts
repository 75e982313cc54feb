import { DownpourError } from "@downpour/errors";

/** The file that makes a folder a checkpoint; written last. */
export const manifestFile = "manifest.json";

/** What the coordinator writes, as JSON each. */
export const coordinatorFiles = {
  ledger: "coordinator.ledger.json",
  schedule: "coordinator.schedule.json",
  random: "coordinator.random.json",
  job: "coordinator.job.json",
  parameters: "coordinator.parameters.json",
} as const;

/** One of the servers that wrote a checkpoint. */
export interface ServerPlace {
  /** From 0. */
  readonly serverIndex: number;
  readonly serverCount: number;
}

function stem({ serverIndex, serverCount }: ServerPlace): string {
  return `server-${serverIndex}-of-${serverCount}`;
}

/** Weights of a server's slices, moving statistics among them. */
export function weightsFile(place: ServerPlace): string {
  return `${stem(place)}.weights.safetensors`;
}

/** Versions, push ids and running statistics of a server's slices. */
export function stateFile(place: ServerPlace): string {
  return `${stem(place)}.state.json`;
}

const slotNamePattern = /^[A-Za-z][A-Za-z0-9]{0,63}$/;

/**
 * One optimizer slot of a server's slices.
 * @throws invalidArgument: the slot's name is not 1 to 64 letters and digits that begin with a letter
 */
export function slotFile(place: ServerPlace, slotName: string): string {
  if (!slotNamePattern.test(slotName)) {
    throw new DownpourError(
      "invalidArgument",
      `the optimizer slot ${JSON.stringify(slotName)} can't be part of a file name; expected 1 to 64 letters and ` +
        "digits, a letter first",
    );
  }
  return `${stem(place)}.slot-${slotName}.safetensors`;
}

/** The longest part, in bytes: what one array can hold when it is read. More servers make parts shorter. */
export const partBytesMax = 4 * 1024 ** 3;

const partPattern = /^[a-z][A-Za-z0-9-]{0,99}(\.[A-Za-z0-9-]{1,99}){1,3}$/;

/** Whether a name can be that of a part: no folder, no hidden or temporary file, not the manifest. */
export function isPartName(file: string): boolean {
  return partPattern.test(file) && file !== manifestFile;
}

/** @throws invalidArgument: it is not the name of a part */
export function checkPartName(file: string): void {
  if (isPartName(file)) return;
  throw new DownpourError(
    "invalidArgument",
    `${JSON.stringify(file)} is not the name of a checkpoint's part, such as server-0-of-2.weights.safetensors`,
  );
}

/** The files without which a checkpoint of so many servers is not complete. Slots depend on the optimizer. */
export function requiredFiles(serverCount: number): string[] {
  const files: string[] = Object.values(coordinatorFiles);
  for (let serverIndex = 0; serverIndex < serverCount; serverIndex++) {
    files.push(weightsFile({ serverIndex, serverCount }), stateFile({ serverIndex, serverCount }));
  }
  return files;
}
