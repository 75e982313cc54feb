import {
  type MetricsAddress,
  type MetricsEndpoint,
  type Readiness,
  RoleMetrics,
  serveMetrics,
} from "@downpour/metrics";
import { evaluatorReadings, type MemberFigures, workerReadings } from "./member-figures.ts";

/** Shows the metrics and health of a member, from the communication thread: compute blocks the other one. */
export function showMetrics(
  role: "worker" | "evaluator",
  address: MetricsAddress,
  figures: MemberFigures,
  readiness: Readiness,
): Promise<MetricsEndpoint> {
  const metrics =
    role === "worker"
      ? new RoleMetrics(role, () => workerReadings(figures))
      : new RoleMetrics(role, () => evaluatorReadings(figures));
  return serveMetrics({ ...address, metrics, readiness });
}
