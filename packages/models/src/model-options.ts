/** Activation functions of hidden layers. */
export type Activation = "relu" | "tanh" | "sigmoid";

/** Which network, with its options. */
export type ModelOptions =
  | { readonly name: "mlp"; readonly hiddenUnits: readonly number[]; readonly activation: Activation }
  | { readonly name: "lenet5"; readonly activation: Activation; readonly pooling: "max" | "average" }
  | { readonly name: "cifar-cnn" };

/** Sizes that the data set decides. */
export interface InputShape {
  /** Pixels. */
  readonly height: number;
  readonly width: number;
  /** 1 grey, 3 colour. */
  readonly channels: number;
  readonly classCount: number;
}
