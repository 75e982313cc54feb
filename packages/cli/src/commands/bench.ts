import type { Command } from "commander";
import type { CliConfig } from "../config.ts";
import type { Reporter } from "../reporter.ts";
import type { BenchApplyOptions } from "./bench-apply.ts";
import type { BenchCheckpointOptions } from "./bench-checkpoint.ts";
import type { BenchClusterOptions } from "./bench-cluster.ts";
import type { BenchComputeOptions } from "./bench-compute.ts";
import type { BenchInputOptions } from "./bench-input.ts";
import type { BenchWireOptions } from "./bench-wire.ts";

/** Adds `downpour bench` with its benchmarks, each loaded when it is run. */
export function addBench(program: Command, config: CliConfig, reporter: () => Reporter): void {
  const bench = program.command("bench").description("measure this machine, against others in the same run");

  bench
    .command("compute")
    .description("images/s of a training step, against tfjs-node as it comes and PyTorch")
    .option("--model <name>", "a network of the zoo", "resnet20")
    .option("--batch <count>", "images of a step", "64")
    .option("--precision <precision>", "float32 or bf16", "float32")
    .option("--device <device>", "cpu, cuda, webgpu or portable", "cpu")
    .option("--threads <count>", "threads of one op", "1")
    .option("--rounds <count>", "rounds, each with a fresh process of every program", "5")
    .option("--steps <count>", "steps that count in a round; 20, or 5 of large images")
    .option("--height <pixels>", "height of the images; the network's usual one without it")
    .option("--width <pixels>", "width of the images")
    .option("--classes <count>", "classes")
    .option("--python <program>", "a Python with PyTorch, to compare with (DOWNPOUR_PYTHON)")
    .option(
      "--torch-step <file>",
      "a Python program in place of this project's: MODEL BATCH THREADS [bf16]; prints img/s=NUMBER",
    )
    .action(async (options: BenchComputeOptions) => {
      const { benchCompute } = await import("./bench-compute.ts");
      await benchCompute(options, config, reporter());
    });

  bench
    .command("input")
    .description("images/s of reading batches, against bare decoding or copying")
    .option(
      "--data-dir <folder>",
      "folder of the data files (DOWNPOUR_DATA_DIR); made-up photographs without it",
    )
    .option("--set <name>", "images, cifar10, cifar100, mnist or digits", "images")
    .option("--path <folder>", "folder of the images inside the data directory")
    .option("--batch <count>", "images of a batch", "64")
    .option("--height <pixels>", "height that images are brought to", "224")
    .option("--width <pixels>", "width that images are brought to", "224")
    .option("--augmentation <yes|no>", "random cuts and flips", "yes")
    .option("--rounds <count>", "rounds", "5")
    .option("--steps <count>", "batches in a round; an epoch, at most 16, without it")
    .action(async (options: BenchInputOptions) => {
      const { benchInput } = await import("./bench-input.ts");
      await benchInput(options, config, reporter());
    });

  bench
    .command("cluster")
    .description("images/s of a cluster on this machine, against its bare compute and PyTorch")
    .option("--model <name>", "a network of the zoo", "resnet20")
    .option("--workers <counts>", "workers; several numbers, such as 1,2, one after the other", "1")
    .option("--servers <count>", "parameter servers", "1")
    .option("--batch <count>", "images of a worker's step", "64")
    .option("--precision <precision>", "float32 or bf16", "float32")
    .option("--rounds <count>", "rounds, each with fresh processes of every program", "3")
    .option("--warmup <count>", "seconds of training before anything is measured", "20")
    .option("--seconds <count>", "length of what is measured in a round", "15")
    .option("--no-pin", "let every process run on any core, as in training")
    .option("--python <program>", "a Python with PyTorch, to compare with (DOWNPOUR_PYTHON)")
    .action(async (options: BenchClusterOptions) => {
      const { benchCluster } = await import("./bench-cluster.ts");
      await benchCluster(options, config, reporter());
    });

  bench
    .command("checkpoint")
    .description("what checkpoints and replicas cost a cluster on this machine, in throughput")
    .option("--parameters <count>", "parameters of the network, about", "25000000")
    .option("--workers <count>", "workers", "1")
    .option("--servers <count>", "parameter servers", "2")
    .option("--batch <count>", "images of a worker's step", "64")
    .option("--rounds <count>", "rounds, each with fresh processes of every cluster", "3")
    .option("--seconds <count>", "length of each measurement, of which a round has six", "20")
    .option("--store <folder>", "folder that checkpoints go below; one for temporary files without it")
    .action(async (options: BenchCheckpointOptions) => {
      const { benchCheckpoint } = await import("./bench-checkpoint.ts");
      await benchCheckpoint(options, reporter());
    });

  bench
    .command("apply")
    .description("GB/s of a parameter server's updates, against PyTorch, a plain loop and bare memory")
    .option("--optimizer <name>", "momentum or adam", "momentum")
    .option("--parameters <count>", "parameters of an update", "25000000")
    .option("--threads <counts>", "apply threads; several numbers, one after the other", "1,2")
    .option("--rounds <count>", "rounds, each with a fresh process of every program", "5")
    .option("--steps <count>", "updates that count in a round", "20")
    .option("--python <program>", "a Python with PyTorch, to compare with (DOWNPOUR_PYTHON)")
    .action(async (options: BenchApplyOptions) => {
      const { benchApply } = await import("./bench-apply.ts");
      await benchApply(options, config, reporter());
    });

  bench
    .command("wire")
    .description("GB/s of pushes and pulls between client and server, against a plain socket")
    .option("--mebibytes <count>", "size of the parameter vector in float32", "100")
    .option("--codec <codec>", "float32, float16, bfloat16, int8, oneBit or topK gradients", "float32")
    .option("--pull-codec <codec>", "float32, float16, bfloat16 or int8Difference weights", "float32")
    .option("--tls", "measure mutual TLS, too")
    .option("--rounds <count>", "rounds, each with fresh processes of every program", "5")
    .option("--steps <count>", "pushes and pulls that count in a round", "20")
    .action(async (options: BenchWireOptions) => {
      const { benchWire } = await import("./bench-wire.ts");
      await benchWire(options, reporter());
    });
}
