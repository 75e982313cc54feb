import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { catalogue, type MetricDefinition, type MetricName, type MetricRole } from "./catalogue.ts";
import type { HistogramReading, LabelledValue, Reading } from "./reading.ts";

/** What the metrics of a role say now: all that the catalogue has for it. */
export type Readings<Role extends MetricRole> = Readonly<Record<MetricName<Role>, Reading>>;

/** The metrics of one role in Prometheus's text format, with those of Node and the process. */
export class RoleMetrics<Role extends MetricRole> {
  readonly #registry = new Registry();
  readonly #read: () => Readonly<Record<string, Reading>>;
  #current: Readonly<Record<string, Reading>> = {};

  /** @param read called once per scrape; nothing is shown of a metric that it leaves out */
  constructor(role: Role, read: () => Partial<Readings<Role>>) {
    this.#read = read as () => Readonly<Record<string, Reading>>;
    collectDefaultMetrics({ register: this.#registry });
    for (const definition of catalogue[role] as readonly MetricDefinition[]) {
      this.#registry.registerMetric(makeMetric(definition, () => this.#current[definition.name] ?? null));
    }
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  async render(): Promise<string> {
    this.#current = this.#read();
    return await this.#registry.metrics();
  }
}

/** The figures are kept elsewhere: metrics only look them up when they are asked. */
function makeMetric(definition: MetricDefinition, read: () => Reading) {
  const { name, help, labels = [] } = definition;
  const configuration = { name, help, labelNames: [...labels], registers: [] };
  switch (definition.kind) {
    case "counter":
      return new (class extends Counter {
        override async get() {
          return { ...(await super.get()), values: valuesOf(read()) };
        }
      })(configuration);
    case "gauge":
      return new (class extends Gauge {
        override async get() {
          return { ...(await super.get()), values: valuesOf(read()) };
        }
      })(configuration);
    case "histogram":
      return new (class extends Histogram {
        /** What the registry asks a histogram for when it writes text. */
        getForPromString() {
          const reading = read();
          const values = isHistogram(reading) ? bucketsOf(name, reading) : [];
          return { name, help, type: "histogram", values };
        }
      })(configuration);
  }
}

function valuesOf(reading: Reading): LabelledValue[] {
  if (reading === null || isHistogram(reading)) return [];
  if (typeof reading === "number") return [{ labels: {}, value: reading }];
  return [...reading];
}

function isHistogram(reading: Reading): reading is HistogramReading {
  return reading !== null && typeof reading === "object" && "bounds" in reading;
}

/** Prometheus's buckets hold what is below them, too. */
function bucketsOf(name: string, { bounds, counts, sum }: HistogramReading) {
  let below = 0;
  const buckets = counts.map((count, i) => {
    below += count;
    return { metricName: `${name}_bucket`, labels: { le: bounds[i] ?? "+Inf" }, value: below };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels: {}, value: sum },
    { metricName: `${name}_count`, labels: {}, value: below },
  ];
}
