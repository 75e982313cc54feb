import { assertNever } from "@downpour/errors";
import { adagrad, rmsprop } from "./adagrad.ts";
import { adam, adamw } from "./adam.ts";
import type { Kernels } from "./kernels.ts";
import { lars, momentum, nesterov } from "./momentum.ts";
import type { Optimizer } from "./optimizer.ts";
import { referenceKernels } from "./reference-kernels.ts";
import { sgd } from "./sgd.ts";

/** Which optimizer, with its hyperparameters; ranges are those of the job file. */
export type OptimizerOptions =
  | { readonly name: "sgd" }
  | { readonly name: "momentum"; readonly momentum: number }
  | { readonly name: "nesterov"; readonly momentum: number }
  | { readonly name: "adagrad"; readonly initialAccumulator: number; readonly epsilon: number }
  | { readonly name: "rmsprop"; readonly alpha: number; readonly epsilon: number; readonly momentum: number }
  | {
      readonly name: "adam" | "adamw";
      readonly beta1: number;
      readonly beta2: number;
      readonly epsilon: number;
    }
  | { readonly name: "lars"; readonly momentum: number; readonly trust: number };

/** @param kernels with `KernelMemory.kernels`, all arrays of an update are views of that memory */
export function makeOptimizer(options: OptimizerOptions, kernels: Kernels = referenceKernels): Optimizer {
  switch (options.name) {
    case "sgd":
      return sgd(kernels);
    case "momentum":
      return momentum(options.momentum, kernels);
    case "nesterov":
      return nesterov(options.momentum, kernels);
    case "adagrad":
      return adagrad(options.initialAccumulator, options.epsilon, kernels);
    case "rmsprop":
      return rmsprop(options.alpha, options.epsilon, options.momentum, kernels);
    case "adam":
      return adam(options, kernels);
    case "adamw":
      return adamw(options, kernels);
    case "lars":
      return lars(options.momentum, options.trust, kernels);
    default:
      return assertNever(options, "optimizer");
  }
}
