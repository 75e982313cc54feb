import type { RunInfo } from "@downpour/run-history";
import { type Client, RequestError } from "./client.ts";
import { Observable } from "./observable.ts";
import { RunStore } from "./run-store.ts";

const pollMs = 5000;

/** The runs of this page. One that appears later, since another training was started here, is shown then. */
export class RunList extends Observable {
  readonly #client: Client;
  readonly runs: RunStore[] = [];
  /** The run whose details are shown. */
  selected: RunStore | undefined;
  /** Runs whose curves are shown, the selected one always. */
  readonly overlaid = new Set<RunStore>();
  locked = false;
  problem: string | undefined;
  #generation = 0;

  constructor(client: Client) {
    super();
    this.#client = client;
  }

  start(): void {
    this.#generation += 1;
    void this.#poll(this.#generation);
  }

  signIn(token: string): void {
    this.#client.signIn(token);
    for (const run of this.runs.splice(0)) run.stop();
    this.overlaid.clear();
    this.selected = undefined;
    this.start();
  }

  select(run: RunStore): void {
    this.selected = run;
    this.overlaid.add(run);
    this.changed();
  }

  toggle(run: RunStore): void {
    if (this.overlaid.has(run)) this.overlaid.delete(run);
    else this.overlaid.add(run);
    this.changed();
  }

  async #poll(generation: number): Promise<void> {
    while (generation === this.#generation) {
      try {
        const { runs } = await this.#client.get<{ readonly runs: readonly RunInfo[] }>("runs");
        this.locked = false;
        this.problem = undefined;
        for (const info of runs) this.#add(info);
      } catch (error) {
        this.locked = error instanceof RequestError && error.status === 401;
        this.problem = error instanceof Error ? error.message : String(error);
      }
      this.changed();
      if (this.locked || this.runs.some(({ info }) => !info.live)) return;
      await new Promise((resolve) => setTimeout(resolve, pollMs));
    }
  }

  #add(info: RunInfo): void {
    if (this.runs.some((run) => run.info.id === info.id)) return;
    const run = new RunStore(info, this.#client);
    this.runs.push(run);
    this.overlaid.add(run);
    // What was shown is over when another training answers here.
    if (this.selected === undefined || info.live) this.selected = run;
    run.start();
  }
}
