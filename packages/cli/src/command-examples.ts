import type { Command } from "commander";

/** Examples of commands that bring none of their own, by the words that call them; shown below their options. */
const examples: Readonly<Record<string, readonly string[]>> = {
  "bench compute": ["downpour bench compute --model resnet20 --rounds 3"],
  "bench input": ["downpour bench input --set images --path flowers --data-dir ~/data"],
  "bench cluster": ["downpour bench cluster --model resnet20 --workers 1,2 --rounds 3"],
  "bench checkpoint": ["downpour bench checkpoint --rounds 3 --store /mnt/checkpoints"],
  "bench apply": ["downpour bench apply --optimizer adam --threads 1,2"],
  "bench wire": ["downpour bench wire --rounds 3"],
  "certs init": ["downpour certs init --host 10.0.0.5 trainer.example.org"],
  "certs issue": ["downpour certs issue server --host 10.0.0.6"],
  "certs token": ["downpour certs token", "downpour certs token --print"],
  up: ["downpour up examples/mnist-lenet5.yaml --workers 4"],
  ps: ["downpour ps"],
  scale: ["downpour scale 8"],
  logs: ["downpour logs"],
  down: ["downpour down"],
  doctor: ["downpour doctor", "downpour doctor examples/cifar10-resnet20.yaml --workers 8"],
  "job-file": ["downpour job-file > job-file.md"],
  coordinator: ["downpour coordinator job.yaml --run-dir runs/one --host 10.0.0.5 --port 4700"],
  server: ["downpour server --coordinator 10.0.0.5:4700 --host 10.0.0.6"],
  worker: ["downpour worker --coordinator 10.0.0.5:4700 --data-dir ~/data"],
  evaluator: ["downpour evaluator --coordinator 10.0.0.5:4700 --data-dir ~/data"],
};

/** Adds the examples to the help of a program's commands. */
export function addExamples(command: Command, path = ""): void {
  for (const sub of command.commands) {
    const words = path === "" ? sub.name() : `${path} ${sub.name()}`;
    const lines = examples[words];
    if (lines !== undefined) {
      const heading = lines.length === 1 ? "Example" : "Examples";
      sub.addHelpText("after", `\n${heading}:\n${lines.map((line) => `  ${line}`).join("\n")}`);
    }
    addExamples(sub, words);
  }
}
