import { afterAll, expect, it } from "vitest";
import {
  examples,
  inBackground,
  jobFile,
  killCoordinator,
  succeed,
  tearDown,
  trainsOn,
  workersThere,
} from "./project.ts";

/** A cluster whose state is in NATS. */
export function natsTests(): void {
  afterAll(tearDown);

  it("keeps its state in NATS, over TLS, and goes on from there with another coordinator", async () => {
    const flags = [...inBackground, "--workers", "1"];
    const nats = ["--set", "cluster.state=nats", "--set", 'cluster.nats.servers=["nats:4222"]'];
    await succeed("up", jobFile, ...flags, ...nats);
    await expect.poll(workersThere, { timeout: 900_000, interval: 1000 }).toBe(1);
    await trainsOn();
    const counted = await examples();
    await killCoordinator();
    await expect.poll(workersThere, { timeout: 900_000, interval: 1000 }).toBe(1);
    await trainsOn(counted);
  });
}
