import { expect, test } from "vitest";
import { coresOfStatus, pinned } from "../pinning.ts";
import { roleCores } from "./cluster-plan.ts";

test("one worker has a core to itself, the rest the others; more workers than that leave the rest free", () => {
  expect(roleCores([0, 1], 1, "worker-1")).toEqual([0]);
  expect(roleCores([0, 1], 1, "server-1")).toEqual([1]);
  expect(roleCores([4, 5], 2, "worker-2")).toEqual([5]);
  expect(roleCores([4, 5], 2, "coordinator")).toBeUndefined();
  expect(roleCores([0, 1], 3, "worker-3")).toEqual([0]);
  expect(roleCores(undefined, 1, "worker-1")).toBeUndefined();
});

test("cores are read from a process's status, and pin a command", () => {
  expect(coresOfStatus("Cpus_allowed:\t7\nCpus_allowed_list:\t0-2,5\nMems")).toEqual([0, 1, 2, 5]);
  expect(coresOfStatus("Name:\tnode\n")).toBeUndefined();
  expect(pinned([0, 2], ["node", "x"])).toEqual(["taskset", "--cpu-list", "0,2", "node", "x"]);
  expect(pinned(undefined, ["node"])).toEqual(["node"]);
});
