import type { ExchangeTimes } from "@downpour/worker";
import { measureInRounds } from "../bench/measure-in-rounds.ts";
import { integerOption, wordOption } from "../bench/options.ts";
import { median, medianRatio } from "../bench/statistics.ts";
import { countText, figureText, tableLines } from "../bench/table.ts";
import { bytesOfVector, type WirePlan } from "../bench/wire-plan.ts";
import { type WireProgram, type WireProgramName, wirePrograms } from "../bench/wire-programs.ts";
import type { Reporter } from "../reporter.ts";

/** Options of `downpour bench wire` as commander hands them over. */
export interface BenchWireOptions {
  readonly mebibytes: string;
  readonly codec: string;
  readonly pullCodec: string;
  readonly tls?: boolean;
  readonly rounds: string;
  readonly steps: string;
}

const pushCodecs = ["float32", "float16", "bfloat16", "int8", "oneBit", "topK"] as const;
const pullCodecs = ["float32", "float16", "bfloat16", "int8Difference"] as const;

/** `downpour bench wire`: pushes and pulls between a real client and a real server, against a plain socket. */
export async function benchWire(options: BenchWireOptions, reporter: Reporter): Promise<void> {
  const plan = wirePlanOf(options);
  const vectorBytes = bytesOfVector(plan.mebibytes);
  const speed = (milliseconds: number) => vectorBytes / milliseconds / 1e6;
  const measured = await measureInRounds<ExchangeTimes, WireProgram>(
    await wirePrograms(plan),
    plan.rounds,
    reporter,
    ({ label }, { pushMilliseconds, pullMilliseconds }, round) => {
      const speeds = [pushMilliseconds, pullMilliseconds].map((time) => figureText(speed(time)));
      reporter.note(`round ${round + 1}: ${label} push ${speeds[0]} GB/s, pull ${speeds[1]} GB/s`);
    },
  );
  const results = [...measured].map(([{ name, label }, rounds]) => {
    const middle = (of: (times: ExchangeTimes) => number) => median(rounds.map(of));
    return {
      ...{ name, label },
      gigabytesPerSecond: {
        push: middle(({ pushMilliseconds }) => speed(pushMilliseconds)),
        pull: middle(({ pullMilliseconds }) => speed(pullMilliseconds)),
      },
      cpuMilliseconds: middle(({ cpuMilliseconds }) => cpuMilliseconds),
      bytes: { push: middle(({ pushBytes }) => pushBytes), pull: middle(({ pullBytes }) => pullBytes) },
      rounds,
    };
  });
  const ratios = { ...ratiosTo("wire", measured), ...ratiosTo("tls", measured) };
  const [ours] = results;
  reporter.result(
    {
      benchmark: "wire",
      ...plan,
      gigabytesPerSecond: ours?.gigabytesPerSecond,
      ratios,
      bytes: ours?.bytes,
      byteShares: ours && { push: ours.bytes.push / vectorBytes, pull: ours.bytes.pull / vectorBytes },
      programs: results,
    },
    resultLines(plan, results, ratios),
  );
}

/** The plan of a command line. @throws usage: an option that can't be */
export function wirePlanOf(options: BenchWireOptions): WirePlan {
  return {
    mebibytes: integerOption("--mebibytes", options.mebibytes, 1, 256),
    pushCodec: wordOption("--codec", options.codec, pushCodecs),
    pullCodec: wordOption("--pull-codec", options.pullCodec, pullCodecs),
    tls: options.tls === true,
    rounds: integerOption("--rounds", options.rounds, 1, 100),
    steps: integerOption("--steps", options.steps, 1, 10_000),
  };
}

/** Shares of the plain socket's speed, within a round. */
function ratiosTo(
  name: WireProgramName,
  measured: ReadonlyMap<WireProgram, readonly ExchangeTimes[]>,
): Readonly<Record<string, number>> {
  const roundsOf = (wanted: WireProgramName) =>
    [...measured].find(([program]) => program.name === wanted)?.[1];
  const own = roundsOf(name);
  const socket = roundsOf("socket");
  if (own === undefined || socket === undefined) return {};
  const ratio = (of: (times: ExchangeTimes) => number) => medianRatio(socket.map(of), own.map(of));
  const push = ratio(({ pushMilliseconds }) => pushMilliseconds);
  const pull = ratio(({ pullMilliseconds }) => pullMilliseconds);
  return name === "tls" ? { tlsPush: push, tlsPull: pull } : { push, pull };
}

function resultLines(
  { mebibytes, pushCodec, pullCodec, rounds, steps }: WirePlan,
  results: readonly {
    readonly name: WireProgramName;
    readonly label: string;
    readonly gigabytesPerSecond: { readonly push: number; readonly pull: number };
    readonly cpuMilliseconds: number;
    readonly bytes: { readonly push: number; readonly pull: number };
  }[],
  ratios: Readonly<Record<string, number>>,
): string[] {
  const keys = { wire: ["push", "pull"], tls: ["tlsPush", "tlsPull"], socket: [] } as const;
  const rows = results.map(({ name, label, gigabytesPerSecond, cpuMilliseconds, bytes }) => {
    const [push, pull] = keys[name].map((key) => (ratios[key] ?? Number.NaN).toFixed(2));
    return [
      label,
      figureText(gigabytesPerSecond.push),
      push ?? "",
      figureText(gigabytesPerSecond.pull),
      pull ?? "",
      figureText(cpuMilliseconds / 2 / mebibytes),
      (bytes.push / 2 ** 20).toFixed(1),
      (bytes.pull / 2 ** 20).toFixed(1),
    ];
  });
  const head = ["", "push GB/s", "of a socket", "pull GB/s", "of a socket", "client's CPU ms/MiB"];
  return [
    ...tableLines([[...head, "MiB pushed", "MiB pulled"], ...rows]),
    `A vector of ${mebibytes} MiB (in float32, which GB/s counts) over loopback between two processes, pushed as ` +
      `${pushCodec} and applied, then pulled as ${pullCodec}; medians of ${countText(rounds, "round")} of ` +
      `${countText(steps, "push and pull", "pushes and pulls")} in fresh processes, ratios within a round.`,
  ];
}
