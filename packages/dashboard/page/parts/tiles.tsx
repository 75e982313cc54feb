import type { RunState } from "@downpour/run-history";
import type { RunStore } from "../data/run-store.ts";
import { countText, figureText, percentText } from "../format.ts";

/** The figures of now, large. */
export function Tiles({ run, state }: { readonly run: RunStore; readonly state: RunState }) {
  const { progress, evaluations } = run.history;
  const now = (name: Parameters<typeof progress.means>[0]) => progress.means(name).at(-1);
  const workers = state.members.filter(
    ({ role, state: is }) => role === "worker" && (is === "active" || is === "draining"),
  );
  const counted = state.ledger?.examplesCounted;
  const tiles: [string, string, string?][] = [
    ["Examples/s", countText(state.summary?.examplesPerSecond ?? now("examplesPerSecond"))],
    ["Training loss", figureText(now("loss"))],
    ["Validation accuracy", percentText(evaluations.means("accuracy").at(-1))],
    ["Learning rate", figureText(state.schedule?.learningRate, 3)],
    ["Staleness, mean", figureText(now("stalenessMean"), 2)],
    ["Workers", countText(workers.length)],
    ["Examples counted", countText(counted), "examples-counted"],
  ];
  if (state.summary !== null) tiles.push(["Test accuracy", percentText(state.summary.testAccuracy)]);
  return (
    <dl class="tiles">
      {tiles.map(([name, value, id]) => (
        <div key={name} class="card">
          <dt>{name}</dt>
          <dd id={id}>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
