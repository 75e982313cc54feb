import type { EpochView, LedgerView } from "@downpour/run-history";
import { countText } from "../format.ts";

const outcomes = ["applied", "refused", "skipped"] as const;

/** How the batches of the latest epochs ended: the ledger of examples. */
export function Ledger({ ledger }: { readonly ledger: LedgerView | null }) {
  return (
    <section class="card" aria-labelledby="ledger-title">
      <h2 id="ledger-title">Ledger</h2>
      {ledger === null ? <p class="summary">no epoch has begun</p> : <Epochs ledger={ledger} />}
    </section>
  );
}

function Epochs({ ledger }: { readonly ledger: LedgerView }) {
  const { batchesLeased, completedEpochs, epochs, examplesCounted, examplesUnreadable } = ledger;
  const unreadable = examplesUnreadable > 0 ? `, ${countText(examplesUnreadable)} could not be read` : "";
  return (
    <>
      <p class="summary">
        {completedEpochs} of {epochs} epochs complete, {countText(examplesCounted)} examples counted
        {unreadable}; {batchesLeased} batches are leased now
      </p>
      <ol class="epochs">
        {ledger.latest.toReversed().map((epoch) => (
          <Epoch key={epoch.epoch} epoch={epoch} />
        ))}
      </ol>
      <ul class="legend" aria-hidden="true">
        {outcomes.map((outcome) => (
          <li key={outcome}>
            <span class={`swatch ${outcome}`} />
            {outcome}
          </li>
        ))}
      </ul>
    </>
  );
}

function Epoch({ epoch }: { readonly epoch: EpochView }) {
  const { batches, applied, refused, skipped } = epoch;
  const others = [
    ...(refused > 0 ? [`${refused} refused`] : []),
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
  ];
  return (
    <li>
      <span>Epoch {epoch.epoch + 1}</span>
      <span class="bar" aria-hidden="true">
        {outcomes.map((outcome) => (
          <span
            key={outcome}
            class={outcome}
            style={{ width: `${batches === 0 ? 0 : (100 * epoch[outcome]) / batches}%` }}
          />
        ))}
      </span>
      <span class="figure">
        {[`${countText(applied)} of ${countText(batches)} applied`, ...others].join(", ")}
      </span>
    </li>
  );
}
