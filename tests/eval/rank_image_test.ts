import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import type { Protocol } from "../../eval/protocol.ts";
import { rankImage } from "../../eval/rank_image.ts";
import { Canvas, type Colour } from "../../eval/report/canvas.ts";
import type { Ranked } from "../../eval/report/strips.ts";

const [RIGHT, SEMI, WRONG, GREY]: readonly Colour[] = [
  [24, 121, 78],
  [154, 103, 0],
  [198, 42, 47],
  [217, 221, 227],
];
const SHADES = [20, 60, 100, 140] as const;

/** A query and three references of one shade each, 4:3, and a reference that is not there. */
async function ranked(root: string): Promise<Ranked> {
  const pictures = SHADES.map((shade) => ({ root, folder: "", name: `${shade}.png` }));
  for (const [i, shade] of SHADES.entries()) {
    const background = { r: shade, g: shade, b: shade };
    await sharp({ create: { width: 400, height: 300, channels: 3, background } })
      .toFile(join(root, pictures[i]!.name));
  }
  const item = (i: number) => ({
    picture: pictures[i] ?? { root, folder: "", name: "none.png" },
    location: null,
  });
  const protocol: Protocol = {
    evalMode: "pos",
    queries: [{ ...item(0), source: "a" }],
    gallery: [1, 2, 3, 4].map(item),
    truths: [{ positives: [0, 3], semiPositives: [1] }],
    skipped: new Map([["a", 0]]),
    maps: null,
  };
  const ranking = {
    positiveRanks: [1, 3],
    hitRank: 0,
    top: [1, 0, 2, 3],
    topScores: [0.9, 0.8, 0.7, 0.6],
  };
  const distances = [[10, 20, 30, Infinity]];
  return { protocol, evaluation: { rankings: [ranking], distances, metrics: {} } };
}

Deno.test("rankImage() frames the answers by their verdict, best first", async () => {
  const root = await Deno.makeTempDir();
  try {
    const input = { ...await ranked(root), query: 0 };
    const png = await rankImage(input);
    const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
    // Five cells of 160 and two frames of 5, 10 apart; the missing picture is a square.
    assert.deepEqual([info.width, info.height], [10 + 5 * 180, 2 * 10 + 170 + 2 * 20]);
    const at = (
      x: number,
      y: number,
    ) => [...data.subarray((y * info.width + x) * 3).subarray(0, 3)];
    const cells = [0, 1, 2, 3, 4].map((i) => 10 + i * 180);
    const frames = cells.map((left) => at(left + 2, 50));
    assert.deepEqual(frames, [[255, 255, 255], SEMI, RIGHT, WRONG, RIGHT]);
    const bottoms = cells.slice(1, 4).map((left) => at(left + 80, 10 + 5 + 120 + 2));
    assert.deepEqual(bottoms, [SEMI, RIGHT, WRONG]); // 160 x 120: the sides keep their ratio
    const inside = cells.map((left) => at(left + 85, 70));
    const grey = [20, 100, 60, 140].map((shade) => [shade, shade, shade]);
    assert.deepEqual(inside, [...grey, GREY]);

    const ink = (left: number, top: number) => {
      let count = 0;
      for (let y = top; y < top + 20; y++) {
        for (let x = left; x < left + 170; x++) count += at(x, y).join() === "255,255,255" ? 0 : 1;
      }
      return count;
    };
    const lines = cells.map((left) => [ink(left, 180), ink(left, 200)].map((dots) => dots > 0));
    assert.deepEqual(lines, [[false, false], ...new Array(4).fill([true, true])]);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("rankImage() refuses a query that there is not", async () => {
  const root = await Deno.makeTempDir();
  const input = await ranked(root);
  await Deno.remove(root, { recursive: true });
  for (const query of [-1, 1, NaN]) {
    await assert.rejects(rankImage({ ...input, query }), {
      name: "RangeError",
      message: `Cannot draw the ranking of query ${query}: there are 1, the first is 0`,
    });
  }
});

Deno.test("Canvas writes signs to the left of a point, and blanks for others", () => {
  const black: Colour = [0, 0, 0];
  const written = (text: string) => {
    const canvas = new Canvas({ width: 40, height: 16 });
    canvas.write(text, { right: 36, top: 1 }, black);
    const rows: string[] = [];
    for (let y = 1; y < 15; y += 2) { // a dot is 2 x 2 px
      let row = "";
      for (let x = 0; x < 40; x += 2) row += canvas.pixels[(y * 40 + x) * 3] === 0 ? "#" : ".";
      rows.push(row);
    }
    return rows;
  };
  assert.deepEqual(written("1?7"), [
    "...#.........#####..",
    "..##.............#..",
    "...#............#...",
    "...#...........#....",
    "...#..........#.....",
    "...#..........#.....",
    "..###.........#.....",
  ]);
});
