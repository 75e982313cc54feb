import { assertNever } from "@downpour/errors";
import { adagrad } from "./adagrad.ts";
import { adam } from "./adam.ts";
import { momentum, nesterov } from "./momentum.ts";
import type { Optimizer } from "./optimizer.ts";
import { sgd } from "./sgd.ts";

/** Which optimizer, with its hyperparameters; ranges are those of the job file. */
export type OptimizerOptions =
  | { readonly name: "sgd" }
  | { readonly name: "momentum"; readonly momentum: number }
  | { readonly name: "nesterov"; readonly momentum: number }
  | { readonly name: "adagrad"; readonly initialAccumulator: number; readonly epsilon: number }
  | { readonly name: "adam"; readonly beta1: number; readonly beta2: number; readonly epsilon: number };

export function makeOptimizer(options: OptimizerOptions): Optimizer {
  switch (options.name) {
    case "sgd":
      return sgd();
    case "momentum":
      return momentum(options.momentum);
    case "nesterov":
      return nesterov(options.momentum);
    case "adagrad":
      return adagrad(options.initialAccumulator, options.epsilon);
    case "adam":
      return adam(options.beta1, options.beta2, options.epsilon);
    default:
      return assertNever(options, "optimizer");
  }
}
