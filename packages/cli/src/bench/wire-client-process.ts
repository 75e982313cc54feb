import { type ExchangeMeasurement, measureExchange } from "@downpour/worker";
import { answerParent } from "./measured-process.ts";
import { materialOf, type PemTexts } from "./tls-texts.ts";

/* Entry of a process that times a worker's client: pushes of the whole vector, and pulls of it. */

/** What to time. */
export interface WireMeasurement extends Omit<ExchangeMeasurement, "tls"> {
  readonly tls: PemTexts | undefined;
}

await answerParent(async ({ tls, ...measurement }: WireMeasurement) => {
  return await measureExchange({ ...measurement, tls: tls && materialOf(tls) });
});
