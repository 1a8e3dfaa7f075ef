/** `columnSum` in plain f64 loops, on top of `start`: the definition the kernel is held to. */
export function columnSumCpu(x: ArrayLike<number>, start: ArrayLike<number>): Float64Array {
  const y = Float64Array.from(start);
  for (let i = 0; i < x.length; i++) y[i % y.length]! += x[i]!;
  return y;
}
