import type { JobEvent } from "@downpour/protocol";
import { stderrColours as pc } from "./colours.ts";

/** An event about what is kept and restored. */
export type DurabilityEvent = Extract<
  JobEvent,
  {
    type:
      | "serverLost"
      | "slicesRestored"
      | "replicaLost"
      | "replicasInStep"
      | "checkpointed"
      | "checkpointFailed"
      | "coordinatorStarted"
      | "resumedFromCheckpoint";
  }
>;

/** Such an event in words; undefined for those that nobody needs to read. */
export function durabilityText(event: DurabilityEvent): string | undefined {
  switch (event.type) {
    case "serverLost": {
      const waiting =
        event.lost === 0
          ? ""
          : `; ${slices(event.lost)} ${event.lost === 1 ? "waits" : "wait"} for another server`;
      const taken = event.promoted === 0 ? "" : `; the replicas of ${slices(event.promoted)} take over`;
      return pc.yellow(`${event.memberId} at ${event.address} is lost${taken}${waiting}`);
    }
    case "slicesRestored":
      return pc.yellow(
        `${slices(event.slices)} restored from ${event.checkpoint}; ${event.batchesReopened} batches are trained again` +
          passedOver(event.passedOver),
      );
    case "resumedFromCheckpoint":
      return (
        `resumed from ${event.checkpoint}, epoch ${event.epochsPassed.toFixed(2)}` +
        passedOver(event.passedOver)
      );
    case "replicaLost":
      return pc.yellow(`${event.memberId} is not reached: ${slices(event.slices)} get another replica`);
    case "replicasInStep":
      return pc.dim("every slice has a replica in step");
    case "checkpointed": {
      const megabytes = (event.bytes / 1e6).toFixed(1);
      return pc.dim(
        `checkpoint ${event.sequence} at epoch ${event.epochsPassed.toFixed(2)}: ${megabytes} MB in ${event.seconds.toFixed(1)} s`,
      );
    }
    case "checkpointFailed":
      return pc.yellow(event.message);
    case "coordinatorStarted":
      return pc.yellow(`another coordinator goes on (epoch ${event.coordinatorEpoch})`);
  }
}

function slices(count: number): string {
  return count === 1 ? "1 slice" : `${count} slices`;
}

function passedOver(message: string | null): string {
  return message === null ? "" : ` (${message})`;
}
