const sigmoid = (u: number) => 1 / (1 + Math.exp(-u));

/** `swiglu` in f64: the definition the kernel is held to. */
export function swigluCpu(gate: ArrayLike<number>, value: ArrayLike<number>): Float64Array {
  return Float64Array.from(gate, (u, i) => u * sigmoid(u) * value[i]!);
}

/** `swigluBackward` in f64: the definition the kernel is held to. */
export function swigluBackwardCpu(
  dy: ArrayLike<number>,
  gate: ArrayLike<number>,
  value: ArrayLike<number>,
): { dgate: Float64Array; dvalue: Float64Array } {
  return {
    dgate: Float64Array.from(gate, (u, i) => {
      const s = sigmoid(u);
      return dy[i]! * value[i]! * s * (1 + u * (1 - s));
    }),
    dvalue: Float64Array.from(gate, (u, i) => dy[i]! * u * sigmoid(u)),
  };
}
