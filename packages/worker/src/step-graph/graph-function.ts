import { messageOf } from "@downpour/errors";
import type * as tf from "@tensorflow/tfjs";
import { type NodeBackend, type NodeBinding, nodeBackendOf } from "../native/node-backend.ts";
import { GraphSession } from "./graph-session.ts";
import { record } from "./recorder.ts";
import { differenceOf, type Recording } from "./recording.ts";
import { simplify } from "./simplify.ts";

export interface GraphFunctionOptions {
  /** A change of the recording before it becomes a graph, for example of its precision. */
  readonly transform?: ((recording: Recording) => Recording) | undefined;
  /** Largest difference to eager that the graph may show at first use. */
  readonly tolerance: Tolerance;
  /** Told once, when the function can't be a graph and stays eager. */
  readonly onFallback: (reason: string) => void;
}

/** A bound of {@link disparities}: for the worst of the tensors, or for the median of them. */
export interface Tolerance {
  readonly of: "worst" | "median";
  readonly bound: number;
}

/** Graphs kept at once; one for each batch size in use. */
const graphsMax = 6;

/** What is known of the function for feeds of one shape. */
interface Shaped {
  recording: Recording | undefined;
  session: GraphSession | undefined;
}

/**
 * A function of tensors that runs as one TensorFlow graph. For each new shape of its feeds it runs op by op twice,
 * recorded both times; when the two recordings agree they become the graph, whose first result is compared with that
 * of the ops. When anything stands against it, the function goes on op by op.
 */
export class GraphFunction {
  readonly #tf: typeof tf;
  readonly #body: (feeds: readonly tf.Tensor[]) => tf.Tensor[];
  readonly #options: GraphFunctionOptions;
  /** Least recently used first. */
  readonly #shapes = new Map<string, Shaped>();
  #eager: boolean;

  /**
   * @param body the same ops at each call, on feeds of the same shapes; its outputs are float32
   * @param options undefined: run op by op, always
   */
  constructor(
    tensorflow: typeof tf,
    body: (feeds: readonly tf.Tensor[]) => tf.Tensor[],
    options: GraphFunctionOptions | undefined,
  ) {
    this.#tf = tensorflow;
    this.#body = body;
    this.#eager = options === undefined || nodeBackendOf(tensorflow) === undefined;
    this.#options = options ?? { tolerance: { of: "worst", bound: 0 }, onFallback: () => undefined };
  }

  /** Runs the function and writes each output to the array at its place in `into`, of the same length. */
  async run(feeds: readonly tf.Tensor[], into: readonly Float32Array[]): Promise<void> {
    const backend = nodeBackendOf(this.#tf);
    if (this.#eager || backend === undefined) return this.#runEager(feeds, into);
    const shaped = this.#shapedFor(feeds);
    if (shaped.session === undefined) return this.#runRecorded(backend, shaped, feeds, into);
    runSession(backend, shaped.session, feeds, into);
  }

  /** It runs op by op, now and always. */
  get isEager(): boolean {
    return this.#eager;
  }

  /** How many graphs are loaded. */
  get graphCount(): number {
    return [...this.#shapes.values()].filter(({ session }) => session !== undefined).length;
  }

  release(): void {
    for (const { session } of this.#shapes.values()) session?.release();
    this.#shapes.clear();
  }

  async #runEager(feeds: readonly tf.Tensor[], into: readonly Float32Array[]): Promise<void> {
    const outputs = this.#tf.tidy(() => this.#body(feeds));
    try {
      for (const [i, output] of outputs.entries()) into[i]?.set((await output.data()) as Float32Array);
    } finally {
      for (const output of outputs) output.dispose();
    }
  }

  #runRecorded(
    backend: NodeBackend,
    shaped: Shaped,
    feeds: readonly tf.Tensor[],
    into: readonly Float32Array[],
  ): void {
    const { outputs, recording, problem } = record(backend, feeds, () =>
      this.#tf.tidy(() => this.#body(feeds)),
    );
    try {
      const values = outputs.map((output) => output.dataSync() as Float32Array);
      for (const [i, output] of values.entries()) into[i]?.set(output);
      if (recording === undefined) this.#fallBack(problem ?? "it can't be recorded");
      else if (shaped.recording === undefined) shaped.recording = recording;
      else this.#makeGraph(backend, shaped, recording, feeds, values);
    } finally {
      for (const output of outputs) output.dispose();
    }
  }

  #makeGraph(
    backend: NodeBackend,
    shaped: Shaped,
    recording: Recording,
    feeds: readonly tf.Tensor[],
    eager: readonly Float32Array[],
  ): void {
    const difference = differenceOf(shaped.recording ?? recording, recording);
    if (difference !== undefined) {
      this.#fallBack(difference);
      return;
    }
    const { transform, tolerance } = this.#options;
    let session: GraphSession | undefined;
    try {
      const simple = simplify(recording);
      session = new GraphSession(backend.binding, transform === undefined ? simple : transform(simple));
      const found = eager.map(({ length }) => new Float32Array(length));
      runSession(backend, session, feeds, found);
      const sorted = disparities(eager, found).sort((a, b) => a - b);
      const apart = sorted[tolerance.of === "worst" ? sorted.length - 1 : sorted.length >> 1] ?? 0;
      if (apart <= tolerance.bound) {
        shaped.session = session;
        shaped.recording = undefined;
        return;
      }
      session.release();
      // A gradient that is not finite says nothing about the graph: try again with the next batch.
      if (Number.isNaN(apart)) return;
      this.#fallBack(`its result differs by ${apart.toExponential(1)} from that of the ops one by one`);
    } catch (error) {
      session?.release();
      this.#fallBack(messageOf(error).split("\n")[0] ?? "TensorFlow refuses the graph");
    }
  }

  #fallBack(reason: string): void {
    this.#eager = true;
    this.release();
    this.#options.onFallback(reason);
  }

  #shapedFor(feeds: readonly tf.Tensor[]): Shaped {
    const key = feeds.map(({ shape }) => shape.join("x")).join(" ");
    const shaped = this.#shapes.get(key) ?? { recording: undefined, session: undefined };
    this.#shapes.delete(key);
    this.#shapes.set(key, shaped);
    const [oldest] = this.#shapes;
    if (this.#shapes.size > graphsMax && oldest !== undefined) {
      oldest[1].session?.release();
      this.#shapes.delete(oldest[0]);
    }
    return shaped;
  }
}

function runSession(
  backend: NodeBackend,
  session: GraphSession,
  feeds: readonly tf.Tensor[],
  into: readonly Float32Array[],
): void {
  const { binding } = backend;
  const outputs = session.run(backend.getInputTensorIds(feeds));
  try {
    for (const [i, { id }] of outputs.entries()) readInto(binding, id, into[i] as Float32Array);
  } finally {
    for (const { id } of outputs) binding.deleteTensor(id);
  }
}

/** Without a fresh array of the tensor's size, where the addon can. */
function readInto(binding: NodeBinding, id: number, values: Float32Array): void {
  if (binding.tensorDataInto === undefined) values.set(binding.tensorDataSync(id) as Float32Array);
  else binding.tensorDataInto(id, values);
}

/**
 * How far two lists of tensors are apart, tensor by tensor: |a_i - b_i| / max(|a_i|, 1e-3 |a|) in Euclidean norms, |a|
 * that of all of them. All NaN when a value of `a` is not finite; Infinity where one of `b` alone is not.
 */
export function disparities(a: readonly Float32Array[], b: readonly Float32Array[]): number[] {
  const squares = a.map((values, i) => {
    const other = b[i] as Float32Array;
    let own = 0;
    let difference = 0;
    for (let k = 0; k < values.length; k++) {
      const value = values[k] as number;
      own += value * value;
      difference += (value - (other[k] as number)) ** 2;
    }
    return { own, difference };
  });
  const all = squares.reduce((sum, { own }) => sum + own, 0);
  return squares.map(({ own, difference }) => {
    if (!Number.isFinite(all)) return Number.NaN;
    const share = Math.sqrt(difference / Math.max(own, 1e-6 * all, Number.MIN_VALUE));
    return Number.isNaN(share) ? Number.POSITIVE_INFINITY : share;
  });
}
