import type { Command } from "commander";
import { wordOption } from "../bench/options.ts";
import { completionScript, shells } from "../completion.ts";
import type { Reporter } from "../reporter.ts";

/** Adds `downpour completion`. */
export function addCompletion(program: Command, reporter: () => Reporter): void {
  program
    .command("completion")
    .description("print a script that completes commands and options in a shell")
    .argument("<shell>", shells.join(", "))
    .addHelpText(
      "after",
      "\nExamples:\n" +
        "  downpour completion bash >> ~/.bashrc\n" +
        "  downpour completion zsh > ~/.zfunc/_downpour\n" +
        "  downpour completion fish > ~/.config/fish/completions/downpour.fish",
    )
    .action((text: string) => {
      const shell = wordOption("shell", text, shells);
      const script = completionScript(program, shell);
      reporter().result({ shell, script }, [script.trimEnd()]);
    });
}
