/* Entry of the compiler: what the WebAssembly module exports. Addresses are bytes, n counts elements. */
export { adagrad, adam, adamw, average, momentum, nesterov, rmsprop, rmspropMomentum, sgd } from "./optimizers";
export {
  clipValue, compensateAdaptive, compensateConstant, dampGap, dana, isFiniteFloats, isFiniteHalves, nextAtLeast,
  scale, sumOfDifferences, sumOfSquares, triad,
} from "./vectors";
export { decodeBfloat16, decodeFloat16, encodeBfloat16, encodeFloat16 } from "./halves";
export { addInt8, addOneBit, decodeInt8, decodeOneBit, encodeInt8, encodeInt8Difference, encodeOneBit } from "./blocks";
