/** Activation functions of hidden layers. */
export type Activation = "relu" | "tanh" | "sigmoid";

/** Networks of Simonyan and Zisserman 2015. */
export type VggName = "vgg11" | "vgg16" | "vgg19";

/** Residual networks for large images (He et al. 2015, table 1). */
export type ResnetName = "resnet18" | "resnet34" | "resnet50" | "resnet101" | "resnet152";

/** Residual networks for 32x32 images (He et al. 2015, section 4.2). */
export type CifarResnetName = "resnet20" | "resnet32" | "resnet56";

/** A network of this package, with its options. */
export type ZooOptions =
  | { readonly name: "mlp"; readonly hiddenUnits: readonly number[]; readonly activation: Activation }
  | { readonly name: "lenet5"; readonly activation: Activation; readonly pooling: "max" | "average" }
  | { readonly name: "cifar-cnn" }
  | {
      readonly name: "alexnet" | VggName;
      /** Share of the units of each hidden dense layer that a training step leaves out, in [0, 1). */
      readonly dropout: number;
    }
  | {
      readonly name: "googlenet";
      /** Share of the averaged maps that a training step leaves out before the logits, in [0, 1). */
      readonly dropout: number;
      /** Whether the two auxiliary classifiers of training are built. */
      readonly auxiliary: boolean;
    }
  | {
      readonly name: ResnetName;
      /** Whether the last norm scale of each residual block begins at 0 (Goyal et al. 2017, section 5.1). */
      readonly zeroInitResidual: boolean;
    }
  | {
      readonly name: CifarResnetName;
      /** Where shapes change: identity with zeros for new channels (option A), or 1x1 convolution (option B). */
      readonly shortcut: "identity" | "projection";
      /** As for the larger residual networks. */
      readonly zeroInitResidual: boolean;
    };

/** A network that a JavaScript file of the user builds. */
export interface ModuleOptions {
  readonly name: "module";
  /** File of an ES module; a relative path counts from the working directory. */
  readonly path: string;
  /** Handed to the module as they are. */
  readonly options?: Readonly<Record<string, unknown>>;
}

/** Which network, with its options. */
export type ModelOptions = ZooOptions | ModuleOptions;

/** Sizes that the data set decides. */
export interface InputShape {
  /** Pixels. */
  readonly height: number;
  readonly width: number;
  /** 1 grey, 3 colour. */
  readonly channels: number;
  readonly classCount: number;
}
