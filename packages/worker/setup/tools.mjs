import { ask, findProgram } from "./processes.mjs";

/**
 * A program of this machine that the set-up uses.
 *
 * @typedef {object} Tool
 * @property {string[] | undefined} command undefined when it can't be used
 * @property {string} found its version, or what is wrong, in words
 */

/**
 * @param {import("./config.mjs").SetupConfig} config
 * @returns {Tool} `CXX`, or the first of c++, g++ and clang++
 */
export function findCompiler(config) {
  const named = config.compiler?.trim().split(/\s+/);
  for (const [name = "", ...args] of named ? [named] : [["c++"], ["g++"], ["clang++"]]) {
    const program = findProgram(name, config.env);
    if (program === undefined) continue;
    const answer = ask([program, ...args, "--version"], config.env);
    const version = answer.output.split("\n")[0] ?? "";
    if (answer.ok) return { command: [program, ...args], found: version };
    if (named)
      return { command: undefined, found: `CXX=${config.compiler} does not answer --version: ${version}` };
  }
  return { command: undefined, found: named ? `CXX=${config.compiler} is not a program` : "not found" };
}

/**
 * @param {import("./config.mjs").SetupConfig} config
 * @param {{ pip: boolean }} needs whether pip must be there too
 * @returns {Tool} `PYTHON`, or the first of python3 and python that is Python 3
 */
export function findPython(config, needs) {
  let found = config.python ? `PYTHON=${config.python} is not a program` : "not found";
  for (const name of config.python ? [config.python] : ["python3", "python"]) {
    const program = findProgram(name, config.env);
    if (program === undefined) continue;
    const pip = ask([program, "-m", "pip", "--version"], config.env);
    const version = ask([program, "--version"], config.env).output;
    if (!version.startsWith("Python 3.")) {
      found = `${program} is not Python 3 (${version.split("\n")[0] || "no answer"})`;
    } else if (pip.ok) {
      return { command: [program], found: `${version}, pip ${pip.output.split(" ")[1]}` };
    } else if (needs.pip) {
      found = `${version} (${program}) without pip`;
    } else {
      return { command: [program], found: version };
    }
  }
  return { command: undefined, found };
}
