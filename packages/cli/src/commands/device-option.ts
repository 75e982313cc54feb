import { DownpourError } from "@downpour/errors";
import { type Device, devices } from "@downpour/job";

/** A device as it was asked for. @throws usage: no such device */
export function deviceOption(text: string | undefined): Device | undefined {
  if (text === undefined) return undefined;
  const known = devices.find((device) => device === text);
  if (known !== undefined) return known;
  throw new DownpourError(
    "usage",
    `--device ${text}: expected one of ${devices.join(", ")} (DOWNPOUR_DEVICE too)`,
  );
}
