import { stringify } from "yaml";

/** Data sets that a new job file can name. */
export const templateData = ["digits", "mnist", "cifar10", "cifar100", "images", "tfrecord", "csv"] as const;
export type TemplateData = (typeof templateData)[number];

/** What a new job file is made from. */
export interface TemplateAnswers {
  readonly name: string;
  readonly data: TemplateData;
  /** Folder of images, or CSV or TFRecord file of the training data. */
  readonly path: string;
  /** CSV or TFRecord file of the test data. */
  readonly testPath: string;
  /** Height and width that images are brought to; of own data only. */
  readonly size: number;
  readonly model: string;
  readonly epochs: number;
  readonly workers: number;
}

/** The usual network of a data set, and what learns it well. */
export interface DataDefaults {
  readonly model: string;
  readonly size: number;
  readonly epochs: number;
  readonly rate: number;
  readonly momentum: number;
  readonly weightDecay: number;
  readonly batchSize: number;
  readonly augmentation?: object;
}

const small = { size: 28, epochs: 10, momentum: 0.9, weightDecay: 0.0005, batchSize: 64 } as const;
const colour = { ...small, model: "resnet20", size: 32, epochs: 20, rate: 0.05 } as const;
const cropAndFlip = { crop: { padding: 4 }, flip: {} };
const photographs = {
  ...{
    model: "resnet18",
    size: 112,
    epochs: 20,
    rate: 0.01,
    momentum: 0.9,
    weightDecay: 0.0005,
    batchSize: 16,
  },
};

export const dataDefaults: Readonly<Record<TemplateData, DataDefaults>> = {
  digits: { ...small, model: "lenet5", rate: 0.02 },
  mnist: { ...small, model: "lenet5", rate: 0.05 },
  cifar10: { ...colour, augmentation: cropAndFlip },
  cifar100: { ...colour, augmentation: cropAndFlip },
  images: { ...photographs, augmentation: { randomResizedCrop: { scale: [0.3, 1] }, flip: {} } },
  tfrecord: { ...photographs, augmentation: { flip: {} } },
  csv: { ...small, model: "lenet5", rate: 0.02 },
};

/** A job file with comments, ready to be trained and changed. */
export function jobTemplate(answers: TemplateAnswers): string {
  const { name, data, model, epochs, workers } = answers;
  const { rate, momentum, weightDecay, batchSize, augmentation } = dataDefaults[data];
  const flow = (value: unknown) => stringify(value, { collectionStyle: "flow", lineWidth: 0 }).trimEnd();
  return `# A job of Downpour: downpour train ${name}.yaml
# docs/job-file.md lists every key, with its default.
name: ${flow(name)}
# Decides initial weights, the validation split and the order of examples.
seed: 1

data:
${dataComment[data]}
  set: ${flow(dataSet(answers))}
  # Training examples that are set aside to validate: a share, or a count.
  validation: 0.1
  # Examples per mini-batch, at each worker.
  batchSize: ${batchSize}
${
  augmentation === undefined
    ? "  # How training images are changed at random, for example: augmentation: { affine: { rotateDegrees: 10 } }"
    : `  # How training images are changed at random; validation and test are not.\n  augmentation: ${flow(augmentation)}`
}

# "downpour models" lists the networks; { name: module, path: ./my-model.mjs } is one of your own.
model: ${flow({ name: model })}

# For one worker: with more, momentum and rate follow their number (docs/asynchrony.md).
optimizer: ${flow({ name: "momentum", momentum, weightDecay })}
learningRate:
  initial: ${rate}
  schedule: { kind: cosine, finalFraction: 0.02 }
  # Drop the rate when validation stops improving:
  # plateau: { factor: 0.5, patience: 3 }

training:
  # Passes over the training data, at most.
  epochs: ${epochs}
  # Stop when validation stops improving:
  # earlyStopping: { patience: 5 }

cluster:
  # One per core is fastest on a CPU; --workers on the command line wins.
  workers: ${workers}
  servers: 2
`;
}

const dataComment: Readonly<Record<TemplateData, string>> = {
  digits: "  # Drawn digits: nothing to download.",
  mnist: "  # Fetched with checksum, or taken from --data-dir (mnist/*.gz).",
  cifar10: "  # Fetched with checksum, or taken from --data-dir (cifar-10-batches-bin/*.bin).",
  cifar100: "  # Fetched with checksum, or taken from --data-dir (cifar-100-binary/*.bin).",
  images: "  # A folder with train/<class>/*.jpg, and val/<class>/ or test/<class>/ where they exist.",
  tfrecord: "  # TFRecord files of tf.Example, with image/encoded and image/class/label.",
  csv: "  # CSV files with a header line: pixels of 0 to 255, or paths of image files, and a label.",
};

function dataSet({ data, path, testPath, size }: TemplateAnswers): object {
  switch (data) {
    case "images":
      return { name: "images", path, height: size, width: size };
    case "tfrecord":
      return { name: "tfrecord", train: [path], test: [testPath], height: size, width: size };
    case "csv":
      return { name: "csv", train: path, test: testPath, height: size, width: size };
    default:
      return { name: data };
  }
}
