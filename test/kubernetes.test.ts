import { execFileSync, spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { parse, parseAllDocuments } from "yaml";
import { cleanUpAfterEach, makeFolder } from "./harness.ts";

cleanUpAfterEach();

const require = createRequire(import.meta.url);
const folder = fileURLToPath(new URL("../deploy/kubernetes", import.meta.url));
const hasKubectl = spawnSync("kubectl", ["kustomize", "--help"]).status === 0;

interface Resource {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
  readonly spec?: Record<string, unknown>;
}

interface PodTemplate {
  readonly spec: {
    readonly securityContext: Record<string, unknown>;
    readonly containers: readonly {
      readonly securityContext: Record<string, unknown>;
      readonly resources: { readonly limits: { readonly memory?: string } };
    }[];
  };
}

interface Patch {
  readonly target: { readonly kind: string; readonly name: string };
  /** Operations of RFC 6902, as YAML. */
  readonly patch: string;
}

/** What a JSON pointer leads to. */
function valueAt(resource: unknown, pointer: string): unknown {
  return pointer
    .split("/")
    .slice(1)
    .reduce((value: unknown, key) => (value as Record<string, unknown> | undefined)?.[key], resource);
}

interface Checked {
  validate(): void;
}

/** Objects whose keys are names of the user's, and values that stand for themselves. */
const open = /\/(labels|matchLabels|annotations|data|stringData|limits|requests|nodeSelector|capacity)$/;

/** The same value, which notes every key that is read of it. */
function watched(value: unknown, path: string, read: Set<string>): unknown {
  if (typeof value !== "object" || value === null) return value;
  return new Proxy(value, {
    get(target, key) {
      const inner = `${path}/${String(key)}`;
      read.add(inner);
      return watched(Reflect.get(target, key), inner, read);
    },
  });
}

function keysOf(value: unknown, path: string): string[] {
  if (typeof value !== "object" || value === null || open.test(path)) return [];
  return Object.entries(value).flatMap(([key, inner]) => [
    `${path}/${key}`,
    ...keysOf(inner, `${path}/${key}`),
  ]);
}

/**
 * Checks a resource against the schema of its kind, and that the schema knows each of its keys: a key that no check
 * looks at is a slip of the pen, which the API server would ignore.
 * @returns what is wrong
 */
function problemsOf(resource: Resource): string[] {
  const where = `${resource.kind} ${resource.metadata.name}`;
  const group = resource.apiVersion;
  const models = require(`kubernetes-models/${group}/${resource.kind}`) as Record<
    string,
    new (
      data: object,
    ) => Checked
  >;
  const Model = models[resource.kind];
  if (Model === undefined) return [`${where}: no schema for ${group}`];
  const read = new Set<string>();
  try {
    const model = new Model({});
    // Only now: the constructor copies what it is given, and would read all of it.
    for (const [key, value] of Object.entries(resource)) {
      Reflect.set(model, key, watched(value, `/${key}`, read));
    }
    model.validate();
  } catch (error) {
    return [`${where}: ${error instanceof Error ? error.message : error}`];
  }
  return keysOf(resource, "")
    .filter((key) => key.split("/").length > 2 && !read.has(key))
    .map((key) => `${where}: ${key} is no key of it`);
}

function resourcesIn(text: string): Resource[] {
  return parseAllDocuments(text).map((document) => document.toJS() as Resource);
}

function yamlBelow(place: string): string[] {
  return readdirSync(place, { withFileTypes: true }).flatMap((entry) => {
    const path = join(place, entry.name);
    if (entry.isDirectory()) return entry.name === "secrets" ? [] : yamlBelow(path);
    return entry.name.endsWith(".yaml") ? [path] : [];
  });
}

const isResource = ({ apiVersion, kind }: Resource) =>
  kind !== undefined && !apiVersion.startsWith("kustomize.config.k8s.io/");

const all = yamlBelow(folder)
  .flatMap((file) => resourcesIn(readFileSync(file, "utf8")))
  .filter(isResource);

describe("the Kubernetes manifests", () => {
  it("are what the schemas of Kubernetes say, to the last key", () => {
    const kinds = all.map(({ kind }) => kind);
    for (const kind of [
      "StatefulSet",
      "Deployment",
      "HorizontalPodAutoscaler",
      "NetworkPolicy",
      "PodDisruptionBudget",
      "PersistentVolumeClaim",
    ]) {
      expect(kinds).toContain(kind);
    }
    expect(all.flatMap(problemsOf)).toEqual([]);
  });

  it("would not pass with a wrong type or a key that does not exist", () => {
    const worker = all.find(({ kind, metadata }) => kind === "Deployment" && metadata.name === "worker");
    if (worker === undefined) throw new Error("there is no Deployment worker");
    const text = JSON.stringify(worker);
    const changed = (from: string, to: string) => JSON.parse(text.replace(from, to)) as Resource;
    expect(problemsOf(worker)).toEqual([]);
    expect(problemsOf(changed('"replicas":2', '"replicas":"two"'))).toHaveLength(1);
    expect(problemsOf(changed('"terminationGracePeriodSeconds"', '"terminationGraceSeconds"'))).toEqual([
      "Deployment worker: /spec/template/spec/terminationGraceSeconds is no key of it",
    ]);
  });

  it("name only files that are there", () => {
    const files = yamlBelow(folder).filter((file) => file.endsWith("kustomization.yaml"));
    expect(files.length).toBeGreaterThanOrEqual(3);
    const missing = files.flatMap((file) => {
      const { resources = [] } = parse(readFileSync(file, "utf8")) as { resources?: string[] };
      return resources.map((each) => join(dirname(file), each)).filter((path) => !existsSync(path));
    });
    expect(missing).toEqual([]);
  });

  it("run every container without root, with a root file system that can't be written", () => {
    const pods = all.filter(({ kind }) => kind === "StatefulSet" || kind === "Deployment");
    expect(pods.length).toBe(5);
    for (const { spec } of pods) {
      const { spec: pod } = (spec?.template ?? {}) as PodTemplate;
      expect(pod.securityContext).toMatchObject({ runAsNonRoot: true, runAsUser: 1000 });
      for (const { securityContext, resources } of pod.containers) {
        expect(securityContext).toMatchObject({
          readOnlyRootFilesystem: true,
          allowPrivilegeEscalation: false,
          capabilities: { drop: ["ALL"] },
        });
        expect(resources.limits.memory).toBeDefined();
      }
    }
  });

  it("have what the components change", () => {
    const components = yamlBelow(join(folder, "components")).filter((file) =>
      file.endsWith("kustomization.yaml"),
    );
    expect(components.length).toBeGreaterThanOrEqual(2);
    const problems = components.flatMap((file) => {
      const { patches = [] } = parse(readFileSync(file, "utf8")) as { patches?: Patch[] };
      return patches.flatMap(({ target, patch }) => {
        const matches = ({ kind, metadata }: Resource) =>
          new RegExp(`^${target.kind}$`).test(kind) && new RegExp(`^${target.name}$`).test(metadata.name);
        const targets = all.filter(matches);
        if (targets.length === 0) return [`${file}: there is no ${target.kind} ${target.name}`];
        const operations = parse(patch) as { op: string; path: string; value: unknown }[];
        return targets.flatMap((resource) =>
          operations.flatMap(({ op, path, value }) => {
            const found = valueAt(resource, path);
            const where = `${resource.kind} ${resource.metadata.name}: ${path}`;
            if (found === undefined) return [`${where} is not there`];
            return op === "test" && found !== value ? [`${where} is ${found}, not ${value}`] : [];
          }),
        );
      });
    });
    expect(problems).toEqual([]);
  });

  it.skipIf(!hasKubectl)("are put together by kustomize, with and without each component", () => {
    const place = makeFolder();
    cpSync(folder, join(place, "kubernetes"), { recursive: true });
    const secrets = join(place, "kubernetes/base/secrets");
    mkdirSync(join(secrets, "nats"), { recursive: true });
    const names = ["coordinator", "server", "worker", "evaluator"].flatMap((role) => [
      `${role}.pem`,
      `${role}-key.pem`,
    ]);
    for (const name of ["ca.pem", "join-token", "nats/server.pem", "nats/server-key.pem", ...names]) {
      writeFileSync(join(secrets, name), "secret");
    }
    const build = (components: readonly string[]) => {
      const overlay = join(place, "kubernetes/overlay");
      mkdirSync(overlay, { recursive: true });
      const text = JSON.stringify({
        resources: ["../base"],
        components: components.map((name) => `../components/${name}`),
      });
      writeFileSync(join(overlay, "kustomization.yaml"), text);
      return resourcesIn(execFileSync("kubectl", ["kustomize", overlay], { encoding: "utf8" }));
    };
    const plain = build([]);
    expect(plain.filter(isResource).flatMap(problemsOf)).toEqual([]);
    expect(plain.filter(({ kind }) => kind === "Secret")).toHaveLength(5);
    const both = build(["standby", "autoscaling"]);
    expect(both.flatMap(problemsOf)).toEqual([]);
    const find = (kind: string, name: string) =>
      both.find((each) => each.kind === kind && each.metadata.name === name)?.spec as Record<string, unknown>;
    expect(find("StatefulSet", "coordinator").replicas).toBe(2);
    expect(find("Deployment", "worker").replicas).toBeUndefined();
    expect(JSON.stringify(find("StatefulSet", "server"))).toContain(
      "--coordinator=coordinator-0.coordinator:7070,coordinator-1.coordinator:7070",
    );
  });
});
