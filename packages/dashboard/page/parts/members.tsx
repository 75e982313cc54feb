import type { MemberView } from "@downpour/run-history";
import { useState } from "preact/hooks";
import type { RunStore } from "../data/run-store.ts";
import { countText, figureText } from "../format.ts";
import { doCommand } from "./controls.tsx";
import { Dialog } from "./dialog.tsx";

const roleOrder = ["worker", "evaluator", "server"];

export interface MembersProps {
  readonly run: RunStore;
  readonly members: readonly MemberView[];
  readonly onDone: (text: string) => void;
}

/** Who takes part, and who did. */
export function Members({ run, members, onDone }: MembersProps) {
  const [presentOnly, setPresentOnly] = useState(false);
  const [draining, setDraining] = useState<string>();
  const mayDrain = run.state?.controls?.drain === true && run.connection === "live";
  const shown = members
    .filter(({ state }) => !presentOnly || state === "active" || state === "draining")
    .toSorted(byRoleAndNumber);
  const fastest = Math.max(1, ...members.map(({ examplesPerSecond }) => examplesPerSecond ?? 0));
  const columns = ["Member", "State", "Examples/s", "Examples", "Leased", "Last heard", "Process"];
  return (
    <section class="card" aria-labelledby="members-title">
      <div class="head">
        <h2 id="members-title">Members</h2>
        <label class="check">
          <input
            type="checkbox"
            checked={presentOnly}
            onChange={(event) => setPresentOnly(event.currentTarget.checked)}
          />
          only those present
        </label>
      </div>
      <section class="scroll" tabIndex={0} aria-labelledby="members-title">
        <table>
          <thead>
            <tr>
              {columns.map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
              {mayDrain && <th scope="col">Control</th>}
            </tr>
          </thead>
          <tbody>
            {shown.map((member) => (
              <Row key={member.memberId} member={member} fastest={fastest}>
                {mayDrain && (
                  <td>
                    {member.role === "worker" && member.state === "active" && (
                      <button type="button" class="quiet" onClick={() => setDraining(member.memberId)}>
                        Drain<span class="hidden"> {member.memberId}</span>
                      </button>
                    )}
                  </td>
                )}
              </Row>
            ))}
          </tbody>
        </table>
      </section>
      {draining !== undefined && (
        <Dialog
          title={`Drain ${draining}?`}
          action="Drain"
          onClose={() => setDraining(undefined)}
          onDo={() =>
            void doCommand(
              run,
              {
                command: "drain",
                body: { memberId: draining },
                done: `${draining} finishes what it holds and leaves`,
              },
              onDone,
            )
          }
        >
          <p>It finishes its batch, hands its lease back and leaves. Others take the rest.</p>
        </Dialog>
      )}
    </section>
  );
}

interface RowProps {
  readonly member: MemberView;
  readonly fastest: number;
  readonly children: preact.ComponentChildren;
}

function Row({ member, fastest, children }: RowProps) {
  const { memberId, state, examplesPerSecond, examplesCounted, batchesLeased, heardSecondsAgo, name } =
    member;
  const present = state === "active" || state === "draining";
  return (
    <tr class={`member ${state}`} data-member={memberId} data-state={state}>
      <th scope="row">{memberId}</th>
      <td>
        <span class={`state ${state}`}>{state}</span>
      </td>
      <td class="number">
        {present && examplesPerSecond !== null ? (
          <span class="meter" style={{ "--share": `${(100 * examplesPerSecond) / fastest}%` }}>
            {countText(examplesPerSecond)}
          </span>
        ) : (
          "–"
        )}
      </td>
      <td class="number">{countText(examplesCounted)}</td>
      <td class="number">{countText(batchesLeased)}</td>
      <td class="number">{heardSecondsAgo === null ? "–" : `${figureText(heardSecondsAgo, 3)} s ago`}</td>
      <td class="name">{name}</td>
      {children}
    </tr>
  );
}

function byRoleAndNumber(a: MemberView, b: MemberView): number {
  const roles = roleOrder.indexOf(a.role) - roleOrder.indexOf(b.role);
  return roles !== 0 ? roles : a.memberId.localeCompare(b.memberId, "en", { numeric: true });
}
