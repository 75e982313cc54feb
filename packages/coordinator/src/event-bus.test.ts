import { describe, expect, it } from "vitest";
import { describeEventBus } from "./event-bus.test.suite.ts";
import { InProcessEventBus } from "./event-bus.ts";

describeEventBus("InProcessEventBus", async (historyMax) => new InProcessEventBus<string>({ historyMax }));

describe("InProcessEventBus", () => {
  it("goes on with the sequence it is given", async () => {
    const bus = new InProcessEventBus<string>({ firstSequence: 41, historyMax: 4 });
    const seen = new Promise((resolve) => {
      bus.subscribe(resolve, { fromSequence: 1 });
    });
    bus.publish("a");
    expect(await seen).toEqual({ sequence: 41, event: "a" });
    expect(bus.nextSequence).toBe(42);
  });

  it("refuses one subscription too many with the numbers, and takes it once another has ended", () => {
    const bus = new InProcessEventBus<string>({ subscribersMax: 1 });
    const end = bus.subscribe(() => undefined);
    expect(() => bus.subscribe(() => undefined)).toThrow(
      "1 listeners follow the job's events, which is the limit",
    );
    end();
    expect(() => bus.subscribe(() => undefined)).not.toThrow();
  });
});
