/**
 * The name that a mistyped one is most likely meant for: with up to 2 wrong letters, and no more than
 * half of them.
 *
 * @returns Null if none is near.
 */
export function nearestName(typed: string, names: readonly string[]): string | null {
  const word = typed.replaceAll("-", "_");
  let nearest: string | null = null;
  let least = Math.min(2, word.length / 2);
  for (const name of names) {
    if (Math.abs(name.length - word.length) > least) continue;
    const distance = editDistance(word, name);
    if (distance > least || (distance === least && nearest !== null)) continue;
    [nearest, least] = [name, distance];
  }
  return nearest;
}

/** Letters to insert, to leave out or to exchange until one word is the other (Levenshtein 1966). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j); // from the first i letters of a
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const exchanged = row[j]! + (a[i] === b[j] ? 0 : 1);
      next.push(Math.min(next[j]! + 1, row[j + 1]! + 1, exchanged));
    }
    row = next;
  }
  return row[b.length]!;
}
