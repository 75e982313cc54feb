/** What a worker knows of its steps. */
export const workerMetrics = [
  {
    name: "downpour_worker_sessions_total",
    kind: "counter",
    help: "Times that it joined; more than one: it was taken for dead meanwhile.",
  },
  {
    name: "downpour_worker_batches_total",
    kind: "counter",
    help: "Batches that ended here, by outcome.",
    labels: ["outcome"],
  },
  {
    name: "downpour_worker_step_seconds",
    kind: "histogram",
    help: "Time of a step: compute, push and pull.",
  },
  {
    name: "downpour_worker_push_seconds",
    kind: "histogram",
    help: "Time from a gradient that is ready to the last acknowledgement.",
  },
  {
    name: "downpour_worker_pull_seconds",
    kind: "histogram",
    help: "Time of a pull, waits at gates included.",
  },
  {
    name: "downpour_worker_gradient_bytes_total",
    kind: "counter",
    help: "Payload bytes of gradients encoded for pushes.",
  },
  { name: "downpour_worker_weight_bytes_total", kind: "counter", help: "Payload bytes of weights received." },
  { name: "downpour_worker_loss", kind: "gauge", help: "Mean loss of the latest batch, in nats." },
  {
    name: "downpour_worker_staleness_updates",
    kind: "gauge",
    help: "Mean staleness of the latest push over its slices, in updates.",
  },
] as const;

/** What an evaluator knows of its evaluations. */
export const evaluatorMetrics = [
  {
    name: "downpour_evaluator_sessions_total",
    kind: "counter",
    help: "Times that it joined; more than one: it was taken for dead meanwhile.",
  },
  { name: "downpour_evaluator_evaluations_total", kind: "counter", help: "Evaluations done." },
  {
    name: "downpour_evaluator_evaluation_seconds",
    kind: "histogram",
    help: "Time of an evaluation: pull and measurement.",
  },
  {
    name: "downpour_evaluator_weight_bytes_total",
    kind: "counter",
    help: "Payload bytes of weights received.",
  },
  { name: "downpour_evaluator_validation_loss", kind: "gauge", help: "Loss that it measured last, in nats." },
  {
    name: "downpour_evaluator_validation_accuracy_ratio",
    kind: "gauge",
    help: "Accuracy that it measured last, 0 to 1.",
  },
] as const;
