/** `tokens` in plain loops: the definition the kernel is held to. */
export function tokensCpu(
  patches: ArrayLike<number>,
  prefix: ArrayLike<number>,
  batch: number,
): Float64Array {
  const perImage = patches.length / batch;
  const x: number[] = [];
  for (let b = 0; b < batch; b++) {
    x.push(...Array.from(prefix));
    for (let i = 0; i < perImage; i++) x.push(patches[b * perImage + i]!);
  }
  return Float64Array.from(x);
}
