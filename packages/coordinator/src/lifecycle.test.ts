import { describe, expect, it } from "vitest";
import { initLifecycle, isFinal, type Lifecycle, type LifecycleEvent, transition } from "./lifecycle.ts";

const states: Lifecycle[] = [
  { kind: "waitingForServers" },
  { kind: "waitingForWorkers" },
  { kind: "training" },
  { kind: "draining", reason: "epochs" },
  { kind: "evaluating", reason: "epochs" },
  { kind: "finished", reason: "epochs" },
  { kind: "failed", message: "out of luck" },
];

const events: LifecycleEvent[] = [
  { kind: "serversReady" },
  { kind: "initialized" },
  { kind: "endTraining", reason: "targetAccuracy" },
  { kind: "stop" },
  { kind: "drained" },
  { kind: "evaluated" },
  { kind: "fail", message: "no server" },
];

/** Every legal move; each pair of state and event that is not here must be refused. */
const legal: Record<string, Lifecycle> = {
  "waitingForServers serversReady": { kind: "waitingForWorkers" },
  "waitingForServers stop": { kind: "finished", reason: "stopped" },
  "waitingForServers fail": { kind: "failed", message: "no server" },
  "waitingForWorkers initialized": { kind: "training" },
  "waitingForWorkers stop": { kind: "finished", reason: "stopped" },
  "waitingForWorkers fail": { kind: "failed", message: "no server" },
  "training endTraining": { kind: "draining", reason: "targetAccuracy" },
  "training stop": { kind: "draining", reason: "stopped" },
  "training fail": { kind: "failed", message: "no server" },
  "draining drained": { kind: "evaluating", reason: "epochs" },
  "draining stop": { kind: "draining", reason: "epochs" },
  "draining fail": { kind: "failed", message: "no server" },
  "evaluating evaluated": { kind: "finished", reason: "epochs" },
  "evaluating stop": { kind: "evaluating", reason: "epochs" },
  "evaluating fail": { kind: "failed", message: "no server" },
  "finished stop": { kind: "finished", reason: "epochs" },
  "failed stop": { kind: "failed", message: "out of luck" },
};

const pairs = states.flatMap((state) =>
  events.map((event) => ({ state, event, key: `${state.kind} ${event.kind}` })),
);

describe("transition of the job", () => {
  it.each(pairs.filter(({ key }) => key in legal))("makes the legal move $key", ({ state, event, key }) => {
    expect(transition(state, event)).toEqual(legal[key]);
  });

  it.each(pairs.filter(({ key }) => !(key in legal)))("refuses $key, naming both", ({ state, event }) => {
    expect(() => transition(state, event)).toThrow(`a job that is ${state.kind} cannot take "${event.kind}"`);
  });

  it.each(["epochs", "targetAccuracy", "earlyStopping"] as const)(
    "carries reason %s to the end",
    (reason) => {
      const life: LifecycleEvent[] = [
        { kind: "serversReady" },
        { kind: "initialized" },
        { kind: "endTraining", reason },
        { kind: "drained" },
        { kind: "evaluated" },
      ];
      const end = life.reduce(transition, initLifecycle());
      expect(end).toEqual({ kind: "finished", reason });
      expect(isFinal(end)).toBe(true);
    },
  );
});
