import type { ServerView } from "@downpour/run-history";
import { bytesText, countText, figureText } from "../format.ts";

/** Slices of a server that are drawn; the table has the figures of all. */
const slicesDrawnMax = 128;

/** Slices and skew per server. */
export function Servers({
  servers,
  skewMax,
}: {
  readonly servers: readonly ServerView[];
  readonly skewMax: number | null;
}) {
  const counts = servers.flatMap(({ slices }) => slices.map(({ count }) => count));
  const most = Math.max(1, ...counts);
  const least = Math.min(most, ...counts);
  const columns = ["Server", "Slices", "Updates of each", "Skew", "Duplicates", "Apply", "Queue", "Memory"];
  return (
    <section class="card" aria-labelledby="servers-title">
      <h2 id="servers-title">Servers and slices</h2>
      <p class="summary">
        {servers.length === 0
          ? "servers have not been asked yet"
          : `slices have ${countText(least)} to ${countText(most)} updates; skew at most ${countText(skewMax)}`}
      </p>
      {servers.length > 0 && (
        <section class="scroll" tabIndex={0} aria-labelledby="servers-title">
          <table>
            <thead>
              <tr>
                {columns.map((name) => (
                  <th key={name} scope="col">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {servers.map((server) => (
                <Server key={server.memberId} server={server} least={least} most={most} />
              ))}
            </tbody>
          </table>
        </section>
      )}
    </section>
  );
}

interface ServerProps {
  readonly server: ServerView;
  readonly least: number;
  readonly most: number;
}

function Server({ server, least, most }: ServerProps) {
  const { slices, updates, duplicates, applyMsTotal, pushesQueued, pushesQueuedMax, memoryBytes } = server;
  const counts = slices.map(({ count }) => count);
  const [low, high] = counts.length === 0 ? [0, 0] : [Math.min(...counts), Math.max(...counts)];
  const elements = slices.reduce((sum, { length }) => sum + length, 0);
  return (
    <tr data-server={server.memberId}>
      <th scope="row">{server.memberId}</th>
      <td>
        <span class="slices" aria-hidden="true">
          {slices.slice(0, slicesDrawnMax).map(({ sliceIndex, count }) => (
            <span
              key={sliceIndex}
              title={`slice ${sliceIndex}: ${count} updates`}
              style={{ height: `${most === least ? 100 : 30 + (70 * (count - least)) / (most - least)}%` }}
            />
          ))}
        </span>
        {slices.length} ({countText(elements)} elements)
      </td>
      <td class="number">{low === high ? countText(low) : `${countText(low)} to ${countText(high)}`}</td>
      <td class="number">{countText(high - low)}</td>
      <td class="number">{countText(duplicates)}</td>
      <td class="number">{updates === 0 ? "–" : `${figureText(applyMsTotal / updates, 2)} ms`}</td>
      <td class="number">
        {pushesQueued}, at most {pushesQueuedMax}
      </td>
      <td class="number">{bytesText(memoryBytes)}</td>
    </tr>
  );
}
