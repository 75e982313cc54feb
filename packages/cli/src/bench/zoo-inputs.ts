import { jobFileSchema, type ModelSpec } from "@downpour/job";
import type { InputShape } from "@downpour/models";
import { wordOption } from "./options.ts";

/** Networks of the zoo. */
export type ZooName = Exclude<ModelSpec["name"], "module">;

const mnist: InputShape = { height: 28, width: 28, channels: 1, classCount: 10 };
const cifar: InputShape = { height: 32, width: 32, channels: 3, classCount: 10 };
const imagenet: InputShape = { height: 224, width: 224, channels: 3, classCount: 1000 };

/** The images that each network is usually trained on: MNIST's, CIFAR-10's or ImageNet's. */
const inputs: Readonly<Record<ZooName, InputShape>> = {
  mlp: mnist,
  lenet5: mnist,
  "cifar-cnn": cifar,
  resnet20: cifar,
  resnet32: cifar,
  resnet56: cifar,
  alexnet: { ...imagenet, height: 227, width: 227 },
  vgg11: imagenet,
  vgg16: imagenet,
  vgg19: imagenet,
  googlenet: imagenet,
  resnet18: imagenet,
  resnet34: imagenet,
  resnet50: imagenet,
  resnet101: imagenet,
  resnet152: imagenet,
};

/**
 * A network of the zoo with the options that it has by default, and its usual input.
 * @throws usage: there is no such network
 */
export function zooEntry(name: string): { name: ZooName; model: ModelSpec; input: InputShape } {
  const known = wordOption("--model", name, Object.keys(inputs) as ZooName[]);
  return { name: known, model: jobFileSchema.shape.model.parse({ name: known }), input: inputs[known] };
}
