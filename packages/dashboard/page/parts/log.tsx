import type { TimedLogLine } from "@downpour/run-history";
import { clockText } from "../format.ts";

/** Lines that are shown; the run's events.jsonl has all. */
const linesMax = 200;

/** What happened, the latest first. */
export function EventLog({ log }: { readonly log: readonly TimedLogLine[] }) {
  const lines = log.slice(-linesMax).reverse();
  return (
    <section class="card" aria-labelledby="log-title">
      <h2 id="log-title">Events</h2>
      <div class="scroll log" tabIndex={0} role="log" aria-labelledby="log-title" aria-live="off">
        <ol>
          {lines.map(({ sequence, timeMs, level, text }) => (
            <li key={sequence} class={level}>
              <time dateTime={new Date(timeMs).toISOString()}>{clockText(timeMs)}</time> {text}
            </li>
          ))}
        </ol>
      </div>
    </section>
  );
}
