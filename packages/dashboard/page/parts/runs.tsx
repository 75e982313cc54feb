import { runColour } from "../charts/curves.ts";
import type { RunList } from "../data/run-list.ts";

/** Which runs are laid over each other, and whose details are shown. */
export function Runs({ list }: { readonly list: RunList }) {
  if (list.runs.length < 2) return null;
  return (
    <section class="card runs" aria-labelledby="runs-title">
      <h2 id="runs-title">Runs</h2>
      <ul>
        {list.runs.map((run, i) => (
          <li key={run.info.id}>
            <label class="check">
              <input
                type="checkbox"
                checked={list.overlaid.has(run)}
                disabled={run === list.selected}
                onChange={() => list.toggle(run)}
              />
              <span class="swatch" style={{ background: `var(--${runColour(i)})` }} />
              <span>
                {run.info.name}
                <span class="hidden"> in the charts</span>
              </span>
            </label>
            <button
              type="button"
              class="quiet"
              aria-pressed={run === list.selected}
              onClick={() => list.select(run)}
            >
              Details<span class="hidden"> of {run.info.name}</span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}
