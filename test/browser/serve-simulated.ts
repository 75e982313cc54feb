import { InProcessEventBus } from "@downpour/coordinator";
import {
  type RunSource,
  type ServedPage,
  type ServePageOptions,
  servePage,
} from "@downpour/coordinator/page";
import type { SimulatedRun } from "./simulated-run.ts";

export type Simulated = ServedPage;

export interface SimulatedOptions extends Partial<Pick<ServePageOptions, "host" | "port" | "identity">> {
  /** Commands are written here, and not done. */
  readonly asked?: string[];
  /** Whether the coordinator has checkpoints; it has when left out. */
  readonly checkpoint?: boolean;
}

/** Serves the page for simulated runs; the first one is under way, and takes commands. */
export function serveSimulated(
  runs: readonly SimulatedRun[],
  { asked = [], checkpoint = true, host = "127.0.0.1", port, identity = {} }: SimulatedOptions = {},
): Promise<Simulated> {
  const sources = runs.map((simulated, i): RunSource => {
    const id = simulated.run.state().name;
    const note = (text: string) => () => void asked.push(text);
    const live = i === 0;
    return {
      info: { id, name: id, live },
      streamId: simulated.streamId,
      state: () => (live ? simulated.state(checkpoint) : simulated.run.state()),
      history: () => simulated.run.history.snapshot(),
      follow: live ? followOf(simulated) : undefined,
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
  return servePage({ host, port, portOption: "", sources, identity });
}

/** Events from now on: where that leaves a gap, the page asks for the history again. */
function followOf(simulated: SimulatedRun): RunSource["follow"] {
  const firstSequence = simulated.run.history.sequence + 1;
  const bus = new InProcessEventBus<Parameters<Parameters<NonNullable<RunSource["follow"]>>[0]>[0]["event"]>({
    firstSequence,
  });
  simulated.onEvent((_sequence, timeMs, event) => bus.publish({ timeMs, event }));
  return (listener, options) => bus.subscribe(listener, options);
}
