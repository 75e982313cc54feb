import { type CertificateSet, makeCertificates } from "@downpour/protocol";
import type { ExchangeTimes } from "@downpour/worker";
import { startListening } from "./listening-process.ts";
import type { Contender } from "./measure-in-rounds.ts";
import { measureInProcess } from "./measure-process.ts";
import type { SocketMeasurement } from "./socket-client-process.ts";
import { textsOf } from "./tls-texts.ts";
import type { WireMeasurement } from "./wire-client-process.ts";
import { startCoordinator, wireJob } from "./wire-coordinator.ts";
import { bytesOfVector, loopback, type WirePlan, warmupSteps, wireMember } from "./wire-plan.ts";

/** Programs by the names that they have in results. */
export type WireProgramName = "wire" | "tls" | "socket";

export interface WireProgram extends Contender<ExchangeTimes> {
  readonly name: WireProgramName;
}

/** The programs of a benchmark: ours, ours over TLS where it is asked for, and a plain socket. */
export async function wirePrograms(plan: WirePlan): Promise<WireProgram[]> {
  const certificates = plan.tls ? await makeCertificates([loopback]) : undefined;
  const programs: WireProgram[] = [
    {
      ...{ name: "wire", label: "client and server", required: true },
      measure: async () => await measureWire(plan, undefined),
    },
  ];
  if (certificates !== undefined) {
    programs.push({
      ...{ name: "tls", label: "client and server, mutual TLS", required: true },
      measure: async () => await measureWire(plan, certificates),
    });
  }
  programs.push({
    ...{ name: "socket", label: "plain socket, float32", required: true },
    measure: async () => await measureSocket(plan),
  });
  return programs;
}

/** A server and a client, each a process. */
async function measureWire(plan: WirePlan, certificates: CertificateSet | undefined): Promise<ExchangeTimes> {
  const job = wireJob(plan);
  const coordinator = await startCoordinator(job);
  const tls = certificates && { server: textsOf(certificates.server), client: textsOf(certificates.client) };
  const input = { coordinatorAddress: coordinator.address, tls: tls?.server };
  try {
    const { serverAddress } = coordinator;
    const { address, stop } = await startListening("wire-server-process", input, serverAddress);
    try {
      const measurement: WireMeasurement = {
        ...{ serverAddress: address, memberId: wireMember, job },
        ...{
          parameters: bytesOfVector(plan.mebibytes) / 4,
          warmupSteps,
          steps: plan.steps,
          tls: tls?.client,
        },
      };
      return await measureInProcess<ExchangeTimes>(measuring("wire-client-process", plan), measurement);
    } finally {
      await stop();
    }
  } finally {
    await coordinator.close();
  }
}

async function measureSocket(plan: WirePlan): Promise<ExchangeTimes> {
  const bytes = bytesOfVector(plan.mebibytes);
  const { address, stop } = await startListening("socket-server-process", { bytes });
  try {
    const measurement: SocketMeasurement = { port: Number(address), bytes, steps: plan.steps };
    return await measureInProcess<ExchangeTimes>(measuring("socket-client-process", plan), measurement);
  } finally {
    await stop();
  }
}

function measuring(entry: string, { mebibytes }: WirePlan) {
  const name = entry === "socket-client-process" ? "plain socket" : "client and server";
  return { entry, name, size: { option: "--mebibytes", value: mebibytes } };
}
