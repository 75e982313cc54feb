import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { EventBus } from "./event-bus.ts";
import type { Sequenced } from "./event-log.ts";

/** What every EventBus must do. `make` gives a bus without events each time, with that much history. */
export function describeEventBus(
  name: string,
  make: (historyMax: number) => Promise<EventBus<string>>,
): void {
  describe(`${name} is an EventBus`, () => {
    let bus: EventBus<string>;
    beforeEach(async () => {
      bus = await make(4);
    });
    afterEach(() => bus.close());

    const publish = (...events: string[]): void => {
      for (const event of events) bus.publish(event);
    };

    /** Subscribes, and resolves with what came once that many events did. */
    const take = (count: number, fromSequence?: number): Promise<Sequenced<string>[]> =>
      new Promise((resolve) => {
        const seen: Sequenced<string>[] = [];
        const options = fromSequence === undefined ? {} : { fromSequence };
        const end = bus.subscribe((sequenced) => {
          seen.push(sequenced);
          if (seen.length < count) return;
          end();
          resolve(seen);
        }, options);
      });
    const events = (seen: Sequenced<string>[]): string[] => seen.map(({ event }) => event);

    it("delivers each event once, in order, numbered without gaps, to every listener", async () => {
      const both = Promise.all([take(3), take(3)]);
      publish("a", "b", "c");
      const [one, two] = await both;
      expect(events(one)).toEqual(["a", "b", "c"]);
      expect(two).toEqual(one);
      const first = one[0]?.sequence ?? 0;
      expect(one.map(({ sequence }) => sequence)).toEqual([first, first + 1, first + 2]);
    });

    it("never calls a listener from within publish or subscribe", async () => {
      publish("a");
      let calls = 0;
      const end = bus.subscribe(
        () => {
          calls += 1;
        },
        { fromSequence: 1 },
      );
      publish("b");
      expect(calls).toBe(0);
      await take(2, 1);
      end();
    });

    it("gives a new listener only what comes after it, unless it asks for more", async () => {
      publish("a", "b");
      const later = take(1);
      const all = take(3, 1);
      publish("c");
      expect(events(await later)).toEqual(["c"]);
      expect(events(await all)).toEqual(["a", "b", "c"]);
    });

    it("keeps no more than historyMax events for those who come late", async () => {
      publish("a", "b", "c", "d", "e", "f");
      expect(await take(4, 1)).toEqual([
        { sequence: 3, event: "c" },
        { sequence: 4, event: "d" },
        { sequence: 5, event: "e" },
        { sequence: 6, event: "f" },
      ]);
      expect(events(await take(2, 5))).toEqual(["e", "f"]);
    });

    it("waits for a sequence that is still to come", async () => {
      const third = take(1, 3);
      publish("a", "b", "c");
      expect(await third).toEqual([{ sequence: 3, event: "c" }]);
    });

    it("delivers nothing after the end of a subscription, also when it ends within a delivery", async () => {
      const seen: string[] = [];
      const end = bus.subscribe(({ event }) => {
        seen.push(event);
        if (event === "b") end();
      });
      const others = take(4);
      publish("a", "b", "c", "d");
      await others;
      end();
      expect(seen).toEqual(["a", "b"]);
    });

    it("goes on after a listener threw or rejected, and harms no other listener", async () => {
      const errors: unknown[] = [];
      const seen: string[] = [];
      const end = bus.subscribe(
        ({ event }) => {
          seen.push(event);
          if (event === "a") throw new Error("thrown");
          if (event === "b") return Promise.reject(new Error("rejected"));
          return undefined;
        },
        { onError: (error, { event }) => errors.push(`${event}: ${(error as Error).message}`) },
      );
      const other = take(3);
      publish("a", "b", "c");
      expect(events(await other)).toEqual(["a", "b", "c"]);
      await take(3, 1);
      end();
      expect(seen).toEqual(["a", "b", "c"]);
      expect(errors).toEqual(["a: thrown", "b: rejected"]);
    });

    it("gives a slow listener one event at a time, and tells it what it missed", async () => {
      const seen: string[] = [];
      const missed: unknown[] = [];
      const gate: { open: () => void } = { open: () => undefined };
      const closed = new Promise<void>((resolve) => {
        gate.open = resolve;
      });
      const done = new Promise<void>((resolve) => {
        bus.subscribe(
          async ({ event }) => {
            seen.push(event);
            if (event === "a") await closed;
            if (event === "g") resolve();
          },
          { onMissed: (range) => missed.push(range) },
        );
      });
      const quick = take(1);
      publish("a");
      await quick;
      // The quick listener gets all of them while the slow one still holds the first.
      const rest = take(6);
      for (const event of ["b", "c", "d", "e", "f", "g"]) {
        const next = take(1);
        publish(event);
        await next;
      }
      expect(events(await rest)).toEqual(["b", "c", "d", "e", "f", "g"]);
      expect(seen).toEqual(["a"]);
      gate.open();
      await done;
      expect(seen).toEqual(["a", "d", "e", "f", "g"]);
      expect(missed).toEqual([{ fromSequence: 2, toSequence: 3 }]);
    });

    it("delivers what is published from within a listener", async () => {
      const end = bus.subscribe(({ event }) => {
        if (event === "a") bus.publish("b");
      });
      const both = take(2);
      publish("a");
      expect(events(await both)).toEqual(["a", "b"]);
      end();
    });

    it("delivers nothing after close, and takes no more events", async () => {
      const seen: string[] = [];
      bus.subscribe(({ event }) => {
        seen.push(event);
      });
      const before = take(1);
      publish("a");
      await before;
      await bus.close();
      publish("b");
      bus.subscribe(
        ({ event }) => {
          seen.push(event);
        },
        { fromSequence: 1 },
      );
      await new Promise((resolve) => setImmediate(resolve));
      expect(seen).toEqual(["a"]);
    });
  });
}
