import { describe, expect, it } from "vitest";
import { EventStream } from "./event-stream.ts";

async function all<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const events: T[] = [];
  for await (const event of stream) events.push(event);
  return events;
}

describe("a stream of events", () => {
  it("gives every reader all events in order, whenever it begins", async () => {
    const stream = new EventStream<number>();
    const early = all(stream);
    stream.push(1);
    await Promise.resolve();
    stream.push(2);
    const late = all(stream);
    stream.push(3);
    stream.end();
    stream.push(4);
    expect(await Promise.all([early, late, all(stream)])).toEqual([
      [1, 2, 3],
      [1, 2, 3],
      [1, 2, 3],
    ]);
  });

  it("lets readers throw what it failed with, after the events before", async () => {
    const stream = new EventStream<number>();
    const seen: number[] = [];
    const reading = (async () => {
      for await (const event of stream) seen.push(event);
    })();
    stream.push(1);
    stream.end(new Error("lost"));
    await expect(reading).rejects.toThrow("lost");
    expect(seen).toEqual([1]);
  });

  it("drops the oldest events of readers that are far behind", async () => {
    const stream = new EventStream<number>();
    for (let i = 0; i < 10_005; i++) stream.push(i);
    stream.end();
    const events = await all(stream);
    expect([events.length, events[0], events.at(-1)]).toEqual([10_000, 5, 10_004]);
  });
});
