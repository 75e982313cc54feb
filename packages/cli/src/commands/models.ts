import type { Command } from "commander";
import { tableLines } from "../bench/table.ts";
import { type ZooName, zooEntry } from "../bench/zoo-inputs.ts";
import type { Reporter } from "../reporter.ts";

/** What is said of a network. */
interface ModelFacts {
  readonly name: ZooName;
  readonly description: string;
  /** Trainable parameters with its usual images and classes. */
  readonly parameters: number;
}

/** The networks of the zoo, small ones first. */
export const modelFacts: readonly ModelFacts[] = [
  { name: "mlp", description: "multi-layer perceptron", parameters: 235_146 },
  { name: "lenet5", description: "LeNet-5; LeCun et al. 1998", parameters: 61_706 },
  { name: "cifar-cnn", description: "a small net in the manner of VGG", parameters: 1_116_970 },
  { name: "resnet20", description: "ResNet-20; He et al. 2015, section 4.2", parameters: 269_722 },
  { name: "resnet32", description: "ResNet-32", parameters: 464_154 },
  { name: "resnet56", description: "ResNet-56", parameters: 853_018 },
  { name: "resnet18", description: "ResNet-18; He et al. 2015, table 1", parameters: 11_689_512 },
  { name: "resnet34", description: "ResNet-34", parameters: 21_797_672 },
  { name: "resnet50", description: "ResNet-50 (v1.5)", parameters: 25_557_032 },
  { name: "resnet101", description: "ResNet-101 (v1.5)", parameters: 44_549_160 },
  { name: "resnet152", description: "ResNet-152 (v1.5)", parameters: 60_192_808 },
  { name: "googlenet", description: "Inception v1; Szegedy et al. 2015", parameters: 13_378_280 },
  { name: "alexnet", description: "AlexNet; Krizhevsky et al. 2012", parameters: 60_965_224 },
  { name: "vgg11", description: "VGG-11; Simonyan and Zisserman 2015", parameters: 132_863_336 },
  { name: "vgg16", description: "VGG-16", parameters: 138_357_544 },
  { name: "vgg19", description: "VGG-19", parameters: 143_667_240 },
];

/** Adds `downpour models`. */
export function addModels(program: Command, reporter: () => Reporter): void {
  program
    .command("models")
    .description("list the networks that a job file can name")
    .addHelpText("after", "\nExample:\n  downpour models")
    .action(() => listModels(reporter()));
}

/** `downpour models`. */
export function listModels(reporter: Reporter): void {
  const models = modelFacts.map((facts) => ({ ...facts, input: zooEntry(facts.name).input }));
  const rows = models.map(({ name, description, parameters, input }) => [
    name,
    parameters.toLocaleString("en"),
    `${input.height}x${input.width}x${input.channels}`,
    String(input.classCount),
    description,
  ]);
  reporter.result({ models }, [
    ...tableLines([["model", "parameters", "images", "classes", "what"], ...rows]),
    "",
    "Images and classes are the usual ones; others fit too, and change the parameters. A network of your own:",
    "model: { name: module, path: ./my-model.mjs } (packages/models/README.md)",
  ]);
}
