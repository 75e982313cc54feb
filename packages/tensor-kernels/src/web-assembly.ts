import { kernelsWasmBase64 } from "./generated/kernels-wasm.ts";

/* The part of the WebAssembly interface that is used: TypeScript declares it for browsers only. */

/** A shared WebAssembly.Memory: goes to other threads by postMessage or workerData. */
export interface SharedMemory {
  readonly buffer: SharedArrayBuffer;
}

interface WebAssemblyApi {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { readonly exports: object };
  Memory: new (descriptor: { initial: number; maximum: number; shared: boolean }) => SharedMemory;
}

const api = (globalThis as unknown as { WebAssembly: WebAssemblyApi }).WebAssembly;

export const pageBytes = 65_536;

/** The exports of assembly/index.ts: addresses are bytes, n counts elements. */
export interface KernelExports {
  sgd(w: number, g: number, n: number, rate: number, l1: number, l2: number): void;
  momentum(
    ...args: [
      w: number,
      v: number,
      g: number,
      n: number,
      mu: number,
      scale: number,
      rate: number,
      ...TwoDecays,
    ]
  ): void;
  nesterov(
    ...args: [w: number, v: number, g: number, n: number, mu: number, rate: number, ...TwoDecays]
  ): void;
  adagrad(
    ...args: [w: number, a: number, g: number, n: number, rate: number, epsilon: number, ...TwoDecays]
  ): void;
  rmsprop(
    ...args: [
      ...[w: number, s: number, g: number, n: number],
      ...[share: number, rate: number, epsilon: number, ...TwoDecays],
    ]
  ): void;
  rmspropMomentum(
    ...args: [
      ...[w: number, s: number, v: number, g: number, n: number],
      ...[share: number, mu: number, rate: number, epsilon: number, ...TwoDecays],
    ]
  ): void;
  adam(...args: AdamArguments): void;
  adamw(...args: AdamArguments): void;
  average(w: number, x: number, n: number, share: number): void;
  isFiniteFloats(x: number, n: number): number;
  isFiniteHalves(x: number, n: number, exponent: number): number;
  sumOfSquares(x: number, n: number): number;
  sumOfDifferences(x: number, y: number, n: number): number;
  scale(x: number, n: number, factor: number): void;
  triad(target: number, x: number, y: number, n: number, factor: number): void;
  clipValue(x: number, n: number, bound: number): number;
  nextAtLeast(x: number, end: number, bound: number): number;
  compensateConstant(g: number, w: number, p: number, n: number, lambda: number): void;
  compensateAdaptive(
    ...args: [g: number, w: number, p: number, s: number, n: number, lambda: number, share: number]
  ): void;
  dampGap(g: number, w: number, p: number, n: number, averageStep: number): void;
  dana(g: number, v: number, n: number, gamma: number): void;
  encodeFloat16(x: number, n: number, payload: number): void;
  decodeFloat16(payload: number, n: number, x: number): void;
  encodeBfloat16(x: number, n: number, payload: number): void;
  decodeBfloat16(payload: number, n: number, x: number): void;
  encodeInt8(x: number, n: number, payload: number): void;
  decodeInt8(payload: number, n: number, x: number): void;
  addInt8(payload: number, n: number, x: number, factor: number): void;
  encodeInt8Difference(x: number, mirror: number, n: number, payload: number): void;
  encodeOneBit(x: number, n: number, payload: number): void;
  decodeOneBit(payload: number, n: number, x: number): void;
  addOneBit(payload: number, n: number, x: number, factor: number): void;
}

type TwoDecays = [l1: number, l2: number];
type AdamArguments = [
  ...[w: number, m: number, v: number, g: number, n: number],
  ...[firstShare: number, secondShare: number, rate: number, correction: number, epsilon: number],
  ...TwoDecays,
];

let module: object | undefined;

/** The kernels over a memory; the module is compiled once per thread. */
export function instantiateKernels(memory: SharedMemory): KernelExports {
  module ??= new api.Module(Buffer.from(kernelsWasmBase64, "base64"));
  return new api.Instance(module, { env: { memory } }).exports as KernelExports;
}

/** Shared memory of a fixed size; its pages take no room before they are written. */
export function newSharedMemory(pages: number): SharedMemory {
  return new api.Memory({ initial: pages, maximum: pages, shared: true });
}

/** Whether a value that came from another thread is a shared memory. */
export function isSharedMemory(value: unknown): value is SharedMemory {
  return value instanceof api.Memory && value.buffer instanceof SharedArrayBuffer;
}
