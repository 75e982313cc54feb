import type { RunState } from "@downpour/run-history";
import type { Connection, RunStore } from "../data/run-store.ts";
import { durationText } from "../format.ts";
import { type ThemeChoice, theme } from "../theme.ts";
import { Controls } from "./controls.tsx";

const lifecycles: Readonly<Record<string, string>> = {
  waitingForServers: "waiting for servers",
  waitingForWorkers: "waiting for workers",
  training: "training",
  draining: "draining",
  evaluating: "final evaluation",
  finished: "finished",
  failed: "failed",
};

const connections: Readonly<Record<Connection, string>> = {
  loading: "loading",
  live: "live",
  lost: "connection lost, trying again",
  ended: "the run is over",
  recorded: "recorded",
  locked: "join token needed",
};

/** Name, state and controls of the run. */
export function Header({ run, onDone }: { readonly run: RunStore; readonly onDone: (text: string) => void }) {
  const { state, connection } = run;
  const kind = state?.paused === true ? "paused" : (state?.lifecycle ?? "loading");
  const text = state?.paused === true ? "paused" : (lifecycles[kind] ?? kind);
  return (
    <header>
      <div class="title">
        <h1>{run.info.name}</h1>
        <span class={`chip run-${kind}`} data-lifecycle={kind}>
          {text}
        </span>
        <span class={`connection ${connection}`} role="status" data-connection={connection}>
          {connections[connection]}
        </span>
      </div>
      <Controls run={run} onDone={onDone} />
      <ThemeButton />
      {state !== undefined && <Progress state={state} />}
    </header>
  );
}

function Progress({ state }: { readonly state: RunState }) {
  const { ledger, etaSeconds, reason, lifecycle } = state;
  if (lifecycle === "failed") return <p class="failure">{reason}</p>;
  if (ledger === null) return null;
  const all = ledger.epochs * ledger.batchesPerEpoch;
  const settled = ledger.batchesApplied + ledger.batchesRefused + ledger.batchesSkipped;
  const share = all === 0 ? 0 : Math.min(1, settled / all);
  const left = etaSeconds === null || etaSeconds === 0 ? "" : `, ${durationText(etaSeconds)} left`;
  const text = `${(100 * share).toFixed(1)} % of ${ledger.epochs} epochs${left}`;
  return (
    <div class="progress">
      <progress max={1} value={share} aria-label="Progress of the run" aria-valuetext={text} />
      <span>{text}</span>
    </div>
  );
}

const next: Readonly<Record<ThemeChoice, ThemeChoice>> = { auto: "light", light: "dark", dark: "auto" };

function ThemeButton() {
  return (
    <button type="button" class="quiet theme" onClick={() => theme.set(next[theme.choice])}>
      Theme: {theme.choice}
    </button>
  );
}
