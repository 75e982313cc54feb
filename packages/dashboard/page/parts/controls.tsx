import { useState } from "preact/hooks";
import type { Command, RunStore } from "../data/run-store.ts";
import { figureText } from "../format.ts";
import { Dialog } from "./dialog.tsx";

export interface ControlsProps {
  readonly run: RunStore;
  readonly onDone: (text: string) => void;
}

/** Runs a command and says how it went. */
export async function doCommand(
  run: RunStore,
  { command, body, done }: { readonly command: Command; readonly body?: object; readonly done: string },
  onDone: (text: string) => void,
): Promise<void> {
  try {
    await run.command(command, body);
    onDone(done);
  } catch (error) {
    onDone(`not done: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** What can be done about a run as a whole. */
export function Controls({ run, onDone }: ControlsProps) {
  const [asking, setAsking] = useState<"drop" | "stop">();
  const [factor, setFactor] = useState("");
  const { state } = run;
  const controls = state?.controls ?? null;
  if (controls === null || run.connection !== "live") return null;
  const act = (command: Command, done: string, body?: object) =>
    void doCommand(run, { command, done, ...(body === undefined ? {} : { body }) }, onDone);
  const rate = state?.schedule?.learningRate ?? 0;
  return (
    <fieldset class="controls" aria-label="Controls of the run">
      {controls.resume ? (
        <button type="button" class="primary" onClick={() => act("resume", "resumed")}>
          Resume
        </button>
      ) : (
        <button
          type="button"
          disabled={!controls.pause}
          onClick={() => act("pause", "paused: workers finish what they hold")}
        >
          Pause
        </button>
      )}
      <button
        type="button"
        disabled={!controls.drop}
        onClick={() => {
          setFactor(String(controls.dropFactor));
          setAsking("drop");
        }}
      >
        Drop learning rate
      </button>
      {controls.checkpoint && (
        <button type="button" onClick={() => act("checkpoint", "checkpoint asked for")}>
          Checkpoint now
        </button>
      )}
      <button type="button" class="danger" disabled={!controls.stop} onClick={() => setAsking("stop")}>
        Stop
      </button>
      {asking === "drop" && (
        <Dialog
          title="Drop the learning rate now?"
          action="Drop"
          onClose={() => setAsking(undefined)}
          onDo={() => act("drop", `learning rate multiplied by ${factor}`, { factor: Number(factor) })}
        >
          <p>
            It is {figureText(rate, 3)} now; with this factor it becomes{" "}
            {figureText(rate * Number(factor), 3)}. A drop can't be taken back.
          </p>
          <label>
            Factor{" "}
            <input
              type="number"
              min="0.0001"
              max="0.9999"
              step="any"
              required
              value={factor}
              onInput={(event) => setFactor(event.currentTarget.value)}
            />
          </label>
        </Dialog>
      )}
      {asking === "stop" && (
        <Dialog
          title="Stop the run?"
          action="Stop the run"
          danger
          onClose={() => setAsking(undefined)}
          onDo={() => act("stop", "stopping: workers finish what they hold, then the model is evaluated")}
        >
          <p>
            Workers finish what they hold, the model is evaluated and written, and the run ends. It can't be
            resumed here.
          </p>
        </Dialog>
      )}
    </fieldset>
  );
}
