/** What a parameter server knows of its slices and of those who push and pull. */
export const serverMetrics = [
  { name: "downpour_server_slices", kind: "gauge", help: "Slices that the server owns." },
  { name: "downpour_server_updates_total", kind: "counter", help: "Updates applied, summed over slices." },
  {
    name: "downpour_server_slice_updates",
    kind: "gauge",
    help: "Updates of the slice that is behind the others (min) and of the one that is ahead (max).",
    labels: ["statistic"],
  },
  {
    name: "downpour_server_duplicates_total",
    kind: "counter",
    help: "Gradients of slices that were acknowledged and not applied: their push id was there.",
  },
  {
    name: "downpour_server_refused_requests_total",
    kind: "counter",
    help: "Pushes, pulls and streams that were refused, by error code.",
    labels: ["code"],
  },
  {
    name: "downpour_server_staleness_updates",
    kind: "histogram",
    help: "Staleness of applied gradients, per slice, in updates.",
  },
  {
    name: "downpour_server_apply_seconds_total",
    kind: "counter",
    help: "Time that apply threads spent on gradients.",
  },
  { name: "downpour_server_apply_threads", kind: "gauge", help: "Threads that apply gradients." },
  { name: "downpour_server_pushes_queued", kind: "gauge", help: "Pushes that wait for an apply thread." },
  { name: "downpour_server_pulls_gated", kind: "gauge", help: "Pulls held back by the gate of SSP or sync." },
  {
    name: "downpour_server_gradient_bytes_total",
    kind: "counter",
    help: "Payload bytes of gradients received.",
  },
  { name: "downpour_server_weight_bytes_total", kind: "counter", help: "Payload bytes of weights sent." },
  {
    name: "downpour_server_memory_bytes",
    kind: "gauge",
    help: "Bytes of weights, optimizer state and copies in use.",
  },
  {
    name: "downpour_server_encodings_total",
    kind: "counter",
    help: "Slices sent to pulls: encoded for it (made), or from a copy that another pull had caused (shared).",
    labels: ["how"],
  },
  {
    name: "downpour_server_compensations_missed_total",
    kind: "counter",
    help: "Gradients whose staleness policy lacked the weights that they were computed on.",
  },
  {
    name: "downpour_server_refused_calls_total",
    kind: "counter",
    help: "Calls and connections without the right certificate, role or token, by reason.",
    labels: ["reason"],
  },
] as const;
