import fc from "fast-check";
import { expect, it } from "vitest";
import {
  bucketOf,
  bucketStreamOf,
  eventStreamOf,
  eventSubjectOf,
  keyOfSubject,
  keySubjectOf,
} from "./nats-names.ts";

it("names a job's bucket and stream so that people know them", () => {
  expect(bucketOf("mnist")).toBe("downpour-mnist");
  expect(bucketStreamOf("mnist")).toBe("KV_downpour-mnist");
  expect(eventStreamOf("cifar.v2")).toBe("downpour-cifar_2ev2-events");
  expect(eventSubjectOf("cifar.v2", "batch")).toBe("downpour.cifar_2ev2.events.batch");
  expect(keySubjectOf("mnist", "job/ledger")).toBe("$KV.downpour-mnist.job/ledger");
});

it("gives every text a name of characters that NATS takes, and different texts different names", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.string({ unit: "grapheme" }), (one, two) => {
      expect(bucketOf(one)).toMatch(/^[-\w]+$/);
      expect(bucketOf(one) === bucketOf(two)).toBe(one === two);
    }),
  );
});

it("gives every key one token below the bucket, and the key back", () => {
  const character = fc.constantFrom(..."aZ09-_/=.");
  fc.assert(
    fc.property(fc.string({ unit: character, minLength: 1, maxLength: 256 }), (key) => {
      const subject = keySubjectOf("a.b", key);
      expect(subject.split(".")).toHaveLength(3);
      expect(keyOfSubject("a.b", subject)).toBe(key);
    }),
  );
});
