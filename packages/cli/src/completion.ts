import type { Command } from "commander";

/** Shells that a completion can be made for. */
export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

/** A command as completion sees it. */
interface Shape {
  /** Words after "downpour": "bench compute"; "" for the program itself. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly text: string }[];
  readonly options: readonly { readonly long: string; readonly text: string; readonly takesValue: boolean }[];
}

/** A script that completes commands and options; files everywhere else. Made from the commands themselves. */
export function completionScript(program: Command, shell: Shell): string {
  const shapes = shapesOf(program, "");
  switch (shell) {
    case "bash":
      return bashScript(shapes);
    case "zsh":
      return zshScript(shapes);
    default:
      return fishScript(shapes);
  }
}

function shapesOf(command: Command, path: string): Shape[] {
  const visible = command.createHelp().visibleCommands(command);
  const shape: Shape = {
    path,
    commands: visible.map((sub) => ({ name: sub.name(), text: sub.description() })),
    options: command
      .createHelp()
      .visibleOptions(command)
      .flatMap(({ long, description, required, optional }) =>
        long === undefined || long === null
          ? []
          : [{ long, text: description, takesValue: required || optional }],
      ),
  };
  const subs = command.commands.filter((sub) => visible.includes(sub));
  return [shape, ...subs.flatMap((sub) => shapesOf(sub, path === "" ? sub.name() : `${path} ${sub.name()}`))];
}

/** The shell code that finds which command the line is about, up to the word that is completed. */
function paths(shapes: readonly Shape[], separator: string): string {
  return shapes
    .filter(({ path }) => path !== "")
    .map(({ path }) => `"${path}"`)
    .join(separator);
}

function bashScript(shapes: readonly Shape[]): string {
  const cases = shapes.map(
    ({ path, commands, options }) =>
      `    "${path}") commands="${commands.map(({ name }) => name).join(" ")}" options="${options.map(({ long }) => long).join(" ")}" ;;`,
  );
  return `# Completion of downpour for bash: source <(downpour completion bash)
_downpour() {
  local current="\${COMP_WORDS[COMP_CWORD]}" path="" next i commands options
  for ((i = 1; i < COMP_CWORD; i++)); do
    next="\${path:+$path }\${COMP_WORDS[i]}"
    case "$next" in
      ${paths(shapes, " | ")}) path="$next" ;;
    esac
  done
  case "$path" in
${cases.join("\n")}
  esac
  if [[ "$current" == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  else
    COMPREPLY=($(compgen -W "$commands" -- "$current"))
  fi
}
complete -o default -F _downpour downpour
`;
}

function zshScript(shapes: readonly Shape[]): string {
  const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const described = (name: string, text: string) => quoted(`${name.replaceAll(":", "\\:")}:${text}`);
  const cases = shapes.map(({ path, commands, options }) => {
    const names = commands.map(({ name, text }) => described(name, text)).join(" ");
    const longs = options.map(({ long, text }) => described(long, text)).join(" ");
    return `    "${path}") commands=(${names}) options=(${longs}) ;;`;
  });
  return `#compdef downpour
# Completion of downpour for zsh: source <(downpour completion zsh)
_downpour() {
  local path_so_far="" next i
  local -a commands options
  for ((i = 2; i < CURRENT; i++)); do
    next="\${path_so_far:+$path_so_far }\${words[i]}"
    case "$next" in
      ${paths(shapes, " | ")}) path_so_far="$next" ;;
    esac
  done
  case "$path_so_far" in
${cases.join("\n")}
  esac
  if [[ "\${words[CURRENT]}" == -* ]]; then
    _describe -o 'option' options
  elif (( \${#commands} > 0 )); then
    _describe 'command' commands
  else
    _files
  fi
}
if [[ "\${funcstack[1]}" == _downpour ]]; then _downpour "$@"; else compdef _downpour downpour; fi
`;
}

function fishScript(shapes: readonly Shape[]): string {
  const quoted = (text: string) => `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
  const lines = shapes.flatMap(({ path, commands, options }) => {
    const condition = quoted(`test (__downpour_path) = "${path}"`);
    return [
      ...commands.map(
        ({ name, text }) => `complete -c downpour -n ${condition} -f -a ${name} -d ${quoted(text)}`,
      ),
      ...options.map(
        ({ long, text, takesValue }) =>
          `complete -c downpour -n ${condition} -l ${long.replace(/^--/, "")}${takesValue ? " -r" : ""} -d ${quoted(text)}`,
      ),
    ];
  });
  return `# Completion of downpour for fish: downpour completion fish | source
function __downpour_path
  set -l path ""
  for word in (commandline -opc)[2..-1]
    set -l next (string trim "$path $word")
    if contains -- "$next" ${paths(shapes, " ")}
      set path $next
    end
  end
  echo "$path"
end
${lines.join("\n")}
`;
}
