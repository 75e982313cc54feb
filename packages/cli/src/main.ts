import { codeOf, DownpourError, exitCodeOf, messageOf } from "@downpour/errors";
import { jobFileReference } from "@downpour/job";
import { Command, CommanderError } from "commander";
import { tellParent } from "./child-message.ts";
import { addExamples } from "./command-examples.ts";
import { addBench } from "./commands/bench.ts";
import { addCerts } from "./commands/certs.ts";
import { addCompletion } from "./commands/completion.ts";
import { addCompose } from "./commands/compose.ts";
import { addDatasets } from "./commands/datasets.ts";
import { addEvaluate } from "./commands/evaluate.ts";
import { addExport } from "./commands/export.ts";
import { addInit } from "./commands/init.ts";
import { addModels } from "./commands/models.ts";
import { addPredict } from "./commands/predict.ts";
import { coordinatorRole, memberRole, type RoleOptions, serverRole } from "./commands/roles.ts";
import type { ShowCommandOptions } from "./commands/show.ts";
import { addStatus } from "./commands/status.ts";
import type { TrainOptions } from "./commands/train-options.ts";
import { readConfig, readMetricsConfig } from "./config.ts";
import { makeReporter } from "./reporter.ts";
import { version } from "./version.ts";

interface GlobalOptions {
  readonly json?: boolean;
  readonly verbose?: boolean;
}

/**
 * Runs the `downpour` command.
 * @returns the exit status: 0 done, 1 failed, 2 wrong usage or job file, 130 interrupted
 */
export async function main(argv: readonly string[]): Promise<number> {
  endWithReader();
  let status = 0;
  const program = makeProgram(argv.includes("--json"), (outcome) => {
    status = outcome;
  });
  try {
    await program.parseAsync([...argv], { from: "user" });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      const usage = new DownpourError("usage", error.message.replace(/^error: /, ""));
      if (argv.includes("--json")) makeReporter(true).failure(usage, false);
      return 2;
    }
    const { json = false, verbose = false } = program.opts<GlobalOptions>();
    const code = codeOf(error);
    tellParent({ type: "failed", code, message: messageOf(error) });
    makeReporter(json).failure(error, verbose);
    return exitCodeOf(error);
  }
}

/** Status of a process whose reader went away, as shells have it: 128 + SIGPIPE. */
const closedPipeStatus = 141;

let endsWithReader = false;

/** `downpour train JOB | head` ends with head, without a complaint; role processes follow their launcher. */
function endWithReader(): void {
  if (endsWithReader) return;
  endsWithReader = true;
  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code === "EPIPE") process.exit(closedPipeStatus);
      throw error;
    });
  }
}

/*
 * What a command needs beyond its options is loaded when it is run: every role is a process of its own, and most need
 * neither TensorFlow nor images.
 */

/** All commands. @param done told the exit status of commands that have one */
export function makeProgram(json: boolean, done: (status: number) => void): Command {
  const config = readConfig();
  const program = new Command("downpour")
    .description("Asynchronous SGD on a cluster of parameter servers and workers.")
    .version(version)
    .option("--json", "print one JSON object per line; the last is a summary")
    .option("--verbose", "show the stack trace of an error")
    .exitOverride();
  if (json) program.configureOutput({ writeErr: () => undefined });
  const reporter = () => makeReporter(program.opts<GlobalOptions>().json ?? false);

  /** A role has nothing to tell people when all is well. */
  const ended = () => reporter().result({ outcome: "finished" }, []);

  program
    .command("train")
    .description("train the job of a job file, with all roles on this machine")
    .argument("<job>", "job file (YAML); docs/job-file.md lists its keys")
    .option("--workers <count>", "workers")
    .option("--servers <count>", "parameter servers")
    .option("--epochs <count>", "epochs, at most")
    .option("--batch-size <count>", "examples per mini-batch")
    .option("--learning-rate <rate>", "initial learning rate")
    .option("--seed <number>", "seed of weights, splits and order")
    .option("--target-accuracy <share>", "stop at this validation accuracy, 0 to 1")
    .option("--train-limit <count>", "train on the first so many examples only")
    .option("--data-dir <folder>", "folder of the data files (DOWNPOUR_DATA_DIR)")
    .option("--device <device>", "auto, cpu, cuda, webgpu or portable (DOWNPOUR_DEVICE)")
    .option("--port <port>", "port of the coordinator")
    .option("--run-dir <folder>", "folder for logs and results")
    .option(
      "--tls-dir <folder>",
      "certificates that downpour certs made, for all processes; plain text without it",
    )
    .option("--join-token-file <file>", "join token that every process must show; needs --tls-dir")
    .option(
      "--set <path=value...>",
      "any other key of the job file, for example --set optimizer.momentum=0.5",
    )
    .addHelpText("after", "\nExample:\n  downpour train examples/mnist-lenet5.yaml --workers 3 --epochs 5")
    .action(async (job: string, options: TrainOptions) => {
      const { train } = await import("./commands/train.ts");
      done(await train(job, options, config, reporter()));
    });

  secured(program.command("resume").description("go on with a run from its newest checkpoint"))
    .argument("<run>", "run directory")
    .option("--workers <count>", "workers, instead of before")
    .option("--servers <count>", "parameter servers, instead of before")
    .option("--epochs <count>", "epochs, at most, counted from the run's beginning")
    .option("--target-accuracy <share>", "stop at this validation accuracy, 0 to 1")
    .option("--data-dir <folder>", "folder of the data files (DOWNPOUR_DATA_DIR)")
    .option("--device <device>", "auto, cpu, cuda, webgpu or portable (DOWNPOUR_DEVICE)")
    .option("--port <port>", "port of the coordinator")
    .option("--set <path=value...>", "any other key of the job file that may change while a job is under way")
    .addHelpText(
      "after",
      "\nExample:\n  downpour resume runs/mnist-20261125-101500-123 --servers 3 --workers 4",
    )
    .action(async (run: string, options: TrainOptions) => {
      const { resume } = await import("./commands/resume.ts");
      done(await resume(run, options, config, reporter()));
    });

  program
    .command("show")
    .description("show the page of runs that were recorded, in the browser")
    .argument("<run...>", "folders of runs, such as runs/NAME; several are laid over each other")
    .option("--port <port>", "port of the page, instead of 4747 or any free one")
    .addHelpText("after", "\nExample:\n  downpour show runs/*")
    .action(async (runs: string[], options: ShowCommandOptions) => {
      const { show } = await import("./commands/show.ts");
      done(await show(runs, options, reporter()));
    });

  addInit(program, reporter);
  addStatus(program, reporter);
  addPredict(program, config, reporter);
  addEvaluate(program, config, reporter);
  addExport(program, config, reporter);
  addModels(program, reporter);
  addDatasets(program, config, reporter);
  addCompletion(program, reporter);
  addBench(program, config, reporter);
  addCerts(program, reporter);
  addCompose(program, config, reporter, done);

  program
    .command("doctor")
    .description(
      "list this machine's devices and what it lacks for others; with a job, the memory that it takes",
    )
    .argument("[job]", "job file whose memory, servers and apply threads are to be estimated")
    .option("--workers <count>", "workers, instead of the job's")
    .option("--servers <count>", "parameter servers, instead of the job's")
    .option("--batch-size <count>", "examples per mini-batch, instead of the job's")
    .option("--data-dir <folder>", "folder of the data files (DOWNPOUR_DATA_DIR)")
    .option("--set <path=value...>", "any other key of the job file")
    .action(async (job: string | undefined, options: TrainOptions) => {
      if (job === undefined) {
        const { doctor } = await import("./commands/doctor.ts");
        done(await doctor(reporter()));
        return;
      }
      const { doctorJob } = await import("./commands/doctor-job.ts");
      const { serverMemoryEstimate: estimate } = await import("@downpour/parameter-server");
      done(await doctorJob(job, options, { estimate, config, reporter: reporter() }));
    });

  program
    .command("job-file")
    .description("print the reference of the job file, as Markdown")
    .action(() => {
      const markdown = jobFileReference();
      reporter().result({ markdown }, [markdown.trimEnd()]);
    });

  secured(program.command("coordinator").description("run a coordinator (train starts one by itself)"))
    .argument("<job>", "job file")
    .requiredOption(
      "--run-dir <folder>",
      "folder for state and results; one that has a run of the job goes on with it",
    )
    .option(
      "--resume [checkpoint]",
      "begin with the newest checkpoint of the job's store, or with the one named",
    )
    .option("--host <address>", "address to listen on", "127.0.0.1")
    .option("--port <port>", "port; 0 for any free one", "0")
    .option("--page-host <address>", "address of the live page, instead of the job's dashboard.host")
    .option("--page-port <port>", "port of the live page, instead of the job's dashboard.port")
    .option("--log-file <file>", "structured log; standard error without it")
    .action(async (job: string, options: Parameters<typeof coordinatorRole>[1]) => {
      await coordinatorRole(job, options);
      ended();
    });

  joining(program.command("server").description("run a parameter server that joins a coordinator"))
    .option("--host <address>", "address to listen on, reachable by workers", "127.0.0.1")
    .option("--port <port>", "port; 0 for any free one", "0")
    .option(
      "--advertise <host:port>",
      "how workers reach it, where that is not --host and --port: a container",
    )
    .action(async (options: RoleOptions) => {
      await serverRole(options);
      ended();
    });
  for (const role of ["worker", "evaluator"] as const) {
    const article = role === "worker" ? "a" : "an";
    joining(program.command(role).description(`run ${article} ${role} that joins a coordinator`))
      .option("--data-dir <folder>", "folder of the data files on this machine (DOWNPOUR_DATA_DIR)")
      .option(
        "--device <device>",
        "auto, cpu, cuda, webgpu or portable; the job's without it (DOWNPOUR_DEVICE)",
      )
      .action(async (options: RoleOptions) => {
        await memberRole(role, options, config);
        ended();
      });
  }
  addExamples(program);
  return program;
}

/** The options of every role: who the others are, and what it shows of itself. */
function secured(command: Command): Command {
  const metrics = readMetricsConfig();
  return command
    .option(
      "--metrics-port <port>",
      "show Prometheus metrics and health on this port, 0 for any free one (DOWNPOUR_METRICS_PORT)",
      metrics.port,
    )
    .option("--metrics-host <address>", "address for them (DOWNPOUR_METRICS_HOST)", metrics.host)
    .option("--tls-dir <folder>", "certificates that downpour certs made; plain text without it")
    .option("--join-token-file <file>", "join token that every process of the cluster has; needs --tls-dir");
}

/** The options of every role that joins a coordinator. */
function joining(command: Command): Command {
  return secured(command)
    .requiredOption(
      "--coordinator <host:port>",
      "address of the coordinator; several with commas between, where others stand by",
    )
    .option("--connect-timeout <seconds>", "how long to try to reach it", "60")
    .option("--log-file <file>", "structured log; standard error without it");
}
