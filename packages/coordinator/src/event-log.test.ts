import { expect, it } from "vitest";
import { EventLog, type Sequenced } from "./event-log.ts";

/** What a listener got and missed, as text. */
function follow(log: EventLog<string>, begin?: Promise<number>, fromSequence = 1): string[] {
  const seen: string[] = [];
  const onMissed = (missed: { fromSequence: number; toSequence: number }): void => {
    seen.push(`missed ${missed.fromSequence} to ${missed.toSequence}`);
  };
  const take = ({ sequence, event }: Sequenced<string>): void => {
    seen.push(`${sequence} ${event}`);
  };
  log.subscribe(take, { fromSequence, onMissed }, begin);
  return seen;
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

it("tells listeners of a gap, before the event behind it", async () => {
  const log = new EventLog<string>();
  const seen = follow(log);
  log.append("a");
  await settle();
  log.skipTo(5);
  log.append("e");
  await settle();
  expect(seen).toEqual(["1 a", "missed 2 to 4", "5 e"]);
});

it("keeps nothing from before a gap for those who come late", async () => {
  const log = new EventLog<string>();
  log.append("a");
  log.skipTo(5);
  log.append("e");
  const seen = follow(log);
  await settle();
  expect(seen).toEqual(["5 e"]);
});

it("never goes back", () => {
  const log = new EventLog<string>({ firstSequence: 5 });
  log.skipTo(3);
  expect(log.nextSequence).toBe(5);
});

it("delivers nothing to a subscription that has not begun, and then from where it begins", async () => {
  const log = new EventLog<string>();
  let begin: (sequence: number) => void = () => undefined;
  const begun = new Promise<number>((resolve) => {
    begin = resolve;
  });
  const seen: string[] = [];
  log.subscribe(({ event }) => void seen.push(event), {}, begun);
  for (const event of ["a", "b", "c"]) log.append(event);
  await settle();
  expect(seen).toEqual([]);
  begin(3);
  await settle();
  expect(seen).toEqual(["c"]);
});

it("says when a sequence is reached, also by a gap", async () => {
  const log = new EventLog<string>();
  const reached: string[] = [];
  void log.reached(1).then(() => reached.push("one"));
  void log.reached(3).then(() => reached.push("three"));
  await log.reached(0);
  log.append("a");
  await settle();
  expect(reached).toEqual(["one"]);
  log.skipTo(4);
  await settle();
  expect(reached).toEqual(["one", "three"]);
});
