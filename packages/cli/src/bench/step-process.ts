import { measureSteps } from "@downpour/worker";
import { answerParent } from "./measured-process.ts";

/* Entry of a process that times the steps of one program. */

await answerParent(measureSteps);
