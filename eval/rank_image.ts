/**
 * A ranking strip as a picture: the query, and the references that came first.
 *
 * @module
 */
import { openDecoder } from "../data/decode.ts";
import { type Picture, picturePath } from "../data/pairs.ts";
import { readThumbnail, type Thumbnail } from "../data/thumbnail.ts";
import type { Protocol } from "./protocol.ts";
import { Canvas, type Colour, LINE_HEIGHT } from "./report/canvas.ts";
import { fixed, metres } from "./report/format.ts";
import type { Ranked } from "./report/strips.ts";
import { SIGNS, type Verdict, verdictOf } from "./report/verdict.ts";

const SIDE = 160; // px, longer side of a picture
const FRAME = 5;
const GAP = 10;
const CELL = SIDE + 2 * FRAME;

/** As in the report on a bright screen. */
const COLOURS: Readonly<Record<Verdict, Colour>> = {
  right: [24, 121, 78],
  semi: [154, 103, 0],
  wrong: [198, 42, 47],
};
const INK: Colour = [22, 25, 29];
const GREY: Colour = [217, 221, 227];

/**
 * Checks that a protocol has a query.
 *
 * @param query Index in `protocol.queries`.
 * @throws {RangeError} If there is no such query.
 */
export function checkQuery({ queries }: Protocol, query: number): void {
  if (query in queries) return;
  throw new RangeError(
    `Cannot draw the ranking of query ${query}: there are ${queries.length}, the first is 0`,
  );
}

/**
 * Draws a query and its ten best references, in green frames if right and red if wrong, each with
 * its score and its distance from the query; a picture that cannot be read is a grey box.
 *
 * @param input.query Index in `protocol.queries`.
 * @returns A PNG file.
 * @throws {RangeError} If there is no such query.
 */
export async function rankImage(input: Ranked & { query: number }): Promise<Uint8Array> {
  const { protocol: { queries, gallery, truths }, evaluation, query } = input;
  checkQuery(input.protocol, query);
  const ranking = evaluation.rankings[query]!;
  const pictures = [queries[query]!, ...ranking.top.map((j) => gallery[j]!)];
  const thumbnails: Thumbnail[] = []; // one after the other: each is whole in memory for a while
  for (const { picture } of pictures) thumbnails.push(await thumbnailOf(picture));
  const tallest = Math.max(...thumbnails.map(({ height }) => height));
  const canvas = new Canvas({
    width: GAP + pictures.length * (CELL + GAP),
    height: 2 * GAP + tallest + 2 * FRAME + 2 * LINE_HEIGHT,
  });
  thumbnails.forEach((thumbnail, i) => {
    const left = GAP + i * (CELL + GAP);
    const rank = i - 1;
    const verdict = rank < 0 ? null : verdictOf(truths[query]!, ranking.top[rank]!);
    const colour = verdict ? COLOURS[verdict] : INK;
    const frame = {
      left,
      top: GAP,
      width: thumbnail.width + 2 * FRAME,
      height: thumbnail.height + 2 * FRAME,
    };
    if (verdict) canvas.fill(frame, colour);
    canvas.draw(thumbnail, left + FRAME, GAP + FRAME);
    if (!verdict) return;
    const at = { right: left + frame.width, top: GAP + tallest + 2 * FRAME + LINE_HEIGHT / 4 };
    canvas.write(`${SIGNS[verdict]} ${fixed(ranking.topScores[rank]!, 3)}`, at, colour);
    const distance = evaluation.distances[query]?.[rank];
    if (distance !== undefined) {
      canvas.write(metres(distance), { ...at, top: at.top + LINE_HEIGHT }, INK);
    }
  });
  return await (await openDecoder()).encodePng(canvas.pixels, canvas);
}

async function thumbnailOf(picture: Picture): Promise<Thumbnail> {
  try {
    return await readThumbnail(picturePath(picture), SIDE);
  } catch {
    const box = new Canvas({ width: SIDE, height: SIDE });
    box.fill({ left: 0, top: 0, ...box }, GREY);
    return box;
  }
}
