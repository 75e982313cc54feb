import { checkJob, type Job } from "@downpour/job";
import { type RegisterServerRequest, type Serving, serve, services, unary } from "@downpour/protocol";
import { loopback, type WirePlan, warmupSteps, wireMember } from "./wire-plan.ts";

/** What stands in for a coordinator: enough of one for a parameter server to run by itself. */
export interface WireCoordinator {
  readonly address: string;
  /** The address that the server registered. */
  readonly serverAddress: Promise<string>;
  close(): Promise<void>;
}

/** Answers a server's questions: which job, welcome, go on. */
export async function startCoordinator(job: Job): Promise<WireCoordinator> {
  const jobJson = JSON.stringify(job);
  let registered: (address: string) => void = () => undefined;
  const serverAddress = new Promise<string>((resolve) => {
    registered = resolve;
  });
  const handlers = {
    GetJob: unary(() => ({ jobJson, coordinatorEpoch: 1, runDirectory: "" })),
    RegisterServer: unary(({ address }: RegisterServerRequest) => {
      registered(address);
      return { memberId: "server-1", serverIndex: 0, coordinatorEpoch: 1 };
    }),
    Heartbeat: unary(() => ({ command: "COMMAND_CONTINUE", coordinatorEpoch: 1 })),
  };
  const serving: Serving = await serve(services.Coordinator.service, handlers, loopback, 0);
  return { address: serving.address, serverAddress, close: async () => await serving.close(0) };
}

/** The cheapest update that there is, so that the wire is what takes time. */
export function wireJob({ pushCodec, pullCodec, steps }: WirePlan): Job {
  return checkJob(
    {
      name: wireMember,
      data: { set: { name: "digits" } },
      model: { name: "lenet5" },
      optimizer: { name: "sgd" },
      // A power of 2: float32 adds up exactly.
      learningRate: { initial: 0.5 },
      wire: { push: { codec: pushCodec }, pull: pullCodec },
      training: { epochs: warmupSteps + steps },
      cluster: { workers: 1, servers: 1, requestTimeoutMs: 120_000 },
    },
    "the benchmark's job",
  );
}
