import { useEffect, useMemo, useState } from "preact/hooks";
import { CurveCharts } from "./charts/curve-charts.tsx";
import type { Axis } from "./charts/curves.ts";
import { kindsOf, looks } from "./charts/marks.ts";
import { useChanges } from "./data/observable.ts";
import type { RunList } from "./data/run-list.ts";
import type { RunStore } from "./data/run-store.ts";
import { Header } from "./parts/header.tsx";
import { ResolvedJob } from "./parts/job.tsx";
import { Ledger } from "./parts/ledger.tsx";
import { EventLog } from "./parts/log.tsx";
import { Members } from "./parts/members.tsx";
import { Runs } from "./parts/runs.tsx";
import { Servers } from "./parts/servers.tsx";
import { SignIn } from "./parts/sign-in.tsx";
import { Tiles } from "./parts/tiles.tsx";
import { theme } from "./theme.ts";

/** What was said last about a command goes away after so long. */
const saidMs = 8000;

/** The whole page. */
export function App({ list }: { readonly list: RunList }) {
  useChanges([list, theme, ...list.runs]);
  const { selected } = list;
  const locked = list.locked || selected?.connection === "locked";
  useEffect(() => {
    document.title =
      selected === undefined ? "Downpour" : `${titleState(selected)}${selected.info.name} – Downpour`;
  });
  if (locked) return <SignIn onToken={(token) => list.signIn(token)} />;
  if (selected === undefined) {
    return (
      <main class="sign-in">
        <p role="status">{list.problem ?? "loading the run"}</p>
      </main>
    );
  }
  return <RunPage list={list} run={selected} />;
}

function RunPage({ list, run }: { readonly list: RunList; readonly run: RunStore }) {
  const [axis, setAxis] = useState<Axis>("epoch");
  const [said, setSaid] = useState("");
  useEffect(() => {
    if (said === "") return undefined;
    const timer = setTimeout(() => setSaid(""), saidMs);
    return () => clearTimeout(timer);
  }, [said]);
  // The selected run's curves lie on top.
  const overlaid = [...list.runs.filter((each) => each !== run && list.overlaid.has(each)), run];
  // Charts are drawn again when their figures have changed, not with each state.
  const drawn = overlaid.map(({ info, history }) => `${info.id} ${history.sequence}`).join();
  const charts = useMemo(
    () => <CurveCharts selected={run} runs={overlaid} all={[...list.runs]} axis={axis} />,
    [run, drawn, axis, list.runs.length, run.state?.startedMs],
  );
  const { state, connection } = run;
  // A table of a hundred members is work too: once for each state.
  const details = useMemo(
    () =>
      state === undefined ? null : (
        <>
          <Members run={run} members={state.members} onDone={setSaid} />
          <Servers servers={state.servers} skewMax={state.skewMax} />
        </>
      ),
    [run, state, connection],
  );
  const lastLine = run.history.log.at(-1)?.sequence;
  const log = useMemo(() => <EventLog log={run.history.log} />, [run, run.history, lastLine]);
  const job = useMemo(() => <ResolvedJob job={state?.job ?? null} />, [run, state?.streamId]);
  return (
    <>
      <Header run={run} onDone={setSaid} />
      <p class="said" role="status" aria-live="polite">
        {said}
      </p>
      <main>
        <Runs list={list} />
        {state !== undefined && <Tiles run={run} state={state} />}
        <div class="toolbar">
          <fieldset class="axis">
            <legend>Over</legend>
            {(["epoch", "time"] as const).map((each) => (
              <label key={each}>
                <input type="radio" name="axis" checked={axis === each} onChange={() => setAxis(each)} />
                {each === "epoch" ? "epochs" : "time"}
              </label>
            ))}
          </fieldset>
          <MarkLegend run={run} />
        </div>
        <div class="charts">
          {charts}
          <Ledger ledger={state?.ledger ?? null} />
        </div>
        {details}
        {log}
        {job}
      </main>
    </>
  );
}

/** What the vertical lines in the charts mean. */
function MarkLegend({ run }: { readonly run: RunStore }) {
  return (
    <ul class="legend marks" aria-label="Marks in the charts">
      {kindsOf(run.history.marks).map(([kind, count]) => (
        <li key={kind} data-mark={kind}>
          <span class="glyph" aria-hidden="true" style={{ color: `var(--${looks[kind].colour})` }}>
            {looks[kind].glyph}
          </span>{" "}
          {looks[kind].label} ({count})
        </li>
      ))}
    </ul>
  );
}

function titleState({ state }: RunStore): string {
  if (state?.ledger == null) return "";
  const { epochs, batchesPerEpoch, batchesApplied } = state.ledger;
  const all = epochs * batchesPerEpoch;
  return all === 0 ? "" : `${Math.floor((100 * batchesApplied) / all)} % `;
}
