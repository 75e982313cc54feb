import type { ComputeSpec } from "@downpour/job";
import type { StepMeasurement, StepProgram, StepTimes } from "@downpour/worker";
import { environmentWithThreads, foreignEnvironment } from "../config.ts";
import type { ComputePlan, ProgramTimes } from "./compute-plan.ts";
import type { Contender } from "./measure-in-rounds.ts";
import { measureInProcess } from "./measure-process.ts";
import { measureTorch, type Torch } from "./pytorch.ts";

/** Programs by the names that they have in results. */
export type ProgramName = "ours" | "ownFloat32" | "eager" | "stockEager" | "pytorch";

/** A program to compare. */
export interface Program extends Contender<ProgramTimes> {
  readonly name: ProgramName;
}

/** PyTorch, and whether the user asked for it. */
export interface WantedTorch {
  readonly found: Torch;
  readonly required: boolean;
}

/** The programs of a benchmark, ours first. What can't compute in the plan's precision does so in float32. */
export function programsOf(plan: ComputePlan, torch: WantedTorch | undefined): Program[] {
  const { device, precision } = plan;
  const where = device === "cpu" ? "" : ` on ${device}`;
  const graphs = device === "cpu" || device === "cuda";
  const best = graphs ? "one graph" : "op by op";
  const own = (mode: ComputeSpec["mode"], of: ComputeSpec["precision"]): StepProgram => ({
    kind: "own",
    device,
    compute: { mode, precision: of },
  });
  const programs = [
    tfjsProgram("ours", `ours, ${best}${where}, ${precision}`, own("graph", precision), plan),
  ];
  if (precision === "bf16") {
    programs.push(tfjsProgram("ownFloat32", `ours, ${best}${where}, float32`, own("graph", "float32"), plan));
  }
  if (graphs)
    programs.push(tfjsProgram("eager", `ours, op by op${where}, float32`, own("eager", "float32"), plan));
  const stock = `tfjs-node as it comes${device === "cpu" ? "" : " on cpu"}, float32`;
  programs.push(tfjsProgram("stockEager", stock, { kind: "stock" }, plan));
  return torch === undefined ? programs : [...programs, torchProgram(torch, plan)];
}

function tfjsProgram(name: ProgramName, label: string, program: StepProgram, plan: ComputePlan): Program {
  const { model, input, batchSize, threads, warmupSteps, steps } = plan;
  const measurement: StepMeasurement = { program, model, input, batchSize, threads, warmupSteps, steps };
  const measure = async (): Promise<ProgramTimes> => {
    const { wallMilliseconds, cpuMilliseconds, loss, notices } = await measureInProcess<StepTimes>(
      {
        entry: "step-process",
        name: label,
        size: { option: "--batch", value: batchSize },
        env: environmentWithThreads(threads),
      },
      measurement,
    );
    return { imagesPerSecond: (batchSize * 1000) / wallMilliseconds, cpuMilliseconds, loss, notices };
  };
  return { name, label, required: name === "ours", measure };
}

function torchProgram({ found, required }: WantedTorch, plan: ComputePlan): Program {
  const precision = plan.precision === "bf16" ? "autocast to bf16" : "float32";
  return {
    name: "pytorch",
    label: `PyTorch ${found.version} on cpu, ${precision}`,
    required,
    measure: async () => await measureTorch(found, plan, foreignEnvironment(plan.threads)),
  };
}
