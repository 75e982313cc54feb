import type { RunSource, ServedPage } from "@downpour/coordinator/page";
import { servePage } from "@downpour/coordinator/page";
import type { SimulatedRun } from "./simulated-run.ts";

/** Serves the page for simulated runs; the first one is under way. Commands are written down, not done. */
export async function serveSimulated(
  runs: readonly SimulatedRun[],
  asked: string[] = [],
): Promise<ServedPage> {
  const sources = runs.map((simulated, i): RunSource => {
    const id = simulated.run.state().name;
    const note = (text: string) => () => void asked.push(text);
    return {
      info: { id, name: id, live: i === 0 },
      streamId: simulated.streamId,
      state: () => (i === 0 ? simulated.state() : simulated.run.state()),
      history: () => simulated.run.history.snapshot(),
      follow: i === 0 ? (listener) => follow(simulated, listener) : undefined,
      commands: {
        pause: note("pause"),
        resume: note("resume"),
        stop: async () => note("stop")(),
        drain: (memberId) => void asked.push(`drain ${memberId}`),
        dropLearningRate: (factor) => {
          asked.push(`drop ${factor}`);
          return { learningRate: 0.01, revision: 2 };
        },
        checkpoint: async () => void asked.push("checkpoint"),
      },
    };
  });
  return servePage({ host: "127.0.0.1", port: undefined, portOption: "", sources, identity: {} });
}

/** Events from now on; the page has asked for the history just before. */
function follow(
  simulated: SimulatedRun,
  listener: Parameters<NonNullable<RunSource["follow"]>>[0],
): () => void {
  return simulated.onEvent((sequence, timeMs, event) => {
    void listener({ sequence, event: { timeMs, event } });
  });
}
