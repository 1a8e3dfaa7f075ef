import type { Size } from "./crops.ts";
import { openDecoder } from "./decode.ts";
import { createPictureMaker, type PictureResult } from "./decode_worker.ts";
import { LETTER, writeLine } from "./lettering.ts";
import { pairJobs, type SampleOptions } from "./pair_jobs.ts";

const LINES = 3; // of text below each picture
const LETTERS = 36; // room for "1200x900+1400+1050 of 4000x3000"
const GAP = 8; // px

/**
 * A contact sheet of pairs as an epoch of training shows them to the model: the query beside its
 * reference, below them source, weight, names and the box of each picture as
 * WIDTHxHEIGHT+LEFT+TOP, px. A picture that cannot be decoded is black and says so.
 *
 * @param indices The pairs to show.
 * @returns A PNG.
 * @throws {RangeError} If there is no pair of an index.
 */
export async function previewSheet(
  options: SampleOptions,
  { indices, epoch }: { indices: readonly number[]; epoch: number },
): Promise<Uint8Array> {
  const { pairs, imgSize } = options;
  const jobsOf = pairJobs(options);
  const { make } = createPictureMaker({ settings: options.augment, cacheBytes: 0 });

  const scale = imgSize < 256 ? 1 : 2;
  const cell = {
    width: Math.max(imgSize, LETTERS * LETTER.width * scale) + GAP,
    height: imgSize + LINES * LETTER.height * scale + 2 * GAP,
  };
  const perRow = Math.max(1, Math.round(Math.sqrt(indices.length / 2))); // two cells a pair
  const sheet = {
    width: perRow * 2 * cell.width + GAP,
    height: Math.ceil(indices.length / perRow) * cell.height + GAP,
  };
  const pixels = new Uint8Array(sheet.width * sheet.height * 3).fill(32);

  for (const [i, index] of indices.entries()) {
    const jobs = jobsOf(index, epoch);
    const { query, reference, source, weight } = pairs[index]!;
    const heads = [
      [`${source}, weight ${weight.toFixed(3)}`, `query ${query.name}`],
      ["", `reference ${reference.name}`],
    ];
    for (const [side, job] of jobs.entries()) {
      const result = await make(job);
      const left = GAP + (i % perRow * 2 + side) * cell.width;
      const top = GAP + Math.floor(i / perRow) * cell.height;
      for (let y = 0; y < imgSize; y++) {
        const at = ((top + y) * sheet.width + left) * 3;
        if ("error" in result) pixels.fill(0, at, at + imgSize * 3);
        else pixels.set(result.pixels.subarray(y * imgSize * 3, (y + 1) * imgSize * 3), at);
      }
      for (const [line, text] of [...heads[side]!, describe(result)].entries()) {
        const below = top + imgSize + GAP + line * LETTER.height * scale;
        writeLine(pixels, sheet, text, { left, top: below, scale, limit: LETTERS });
      }
    }
  }
  return await (await openDecoder()).encodePng(pixels, sheet);
}

function describe(result: PictureResult): string {
  if ("error" in result) return "cannot be decoded";
  const { crop, picture } = result;
  return `${extent(crop)}+${crop.left}+${crop.top} of ${extent(picture)}`;
}

function extent({ width, height }: Size): string {
  return `${width}x${height}`;
}
