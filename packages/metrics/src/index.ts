export {
  catalogue,
  type MetricDefinition,
  type MetricName,
  type MetricRole,
  metricsReference,
} from "./catalogue.ts";
export {
  type MetricsAddress,
  type MetricsEndpoint,
  type MetricsEndpointOptions,
  serveMetrics,
} from "./endpoint.ts";
export { Readiness } from "./readiness.ts";
export {
  byLabel,
  Durations,
  type HistogramReading,
  histogramOfIntegers,
  type LabelledValue,
  type Reading,
} from "./reading.ts";
export { type Readings, RoleMetrics } from "./role-metrics.ts";
