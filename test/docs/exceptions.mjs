/**
 * @typedef {{ page: string, command: RegExp, why: string, data?: string }} Exception
 *   Commands of a page that the test of the documentation leaves out. With `data` they are left out only where this
 *   folder of the data directory (DOWNPOUR_DATA_DIR) is missing.
 */

/** Pages whose commands are run, in this order. */
export const tested = ["README.md", "docs/tutorial.md"];

/** @type {Exception[]} */
export const exceptions = [
  {
    page: "README.md",
    command: /^npm test$/,
    why: "runs all tests, this one's own pages among them; it is run by itself",
  },
  {
    page: "README.md",
    command: /resnet(18|20)\.yaml/,
    why: "an epoch takes minutes, and its data is no part of the repository; test/models.test.ts trains these networks",
  },
  {
    page: "README.md",
    command: /cifar10-cnn\.yaml/,
    why: "CIFAR-10 is not at hand",
    data: "cifar-10-batches-bin",
  },
  { page: "README.md", command: /mnist-lenet5\.yaml/, why: "MNIST is not at hand", data: "mnist" },
  { page: "docs/tutorial.md", command: /mnist/, why: "MNIST is not at hand", data: "mnist" },
];
