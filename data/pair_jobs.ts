import { queryView } from "./augment.ts";
import type { AugmentSettings } from "./augment_settings.ts";
import type { PictureJob } from "./decode_worker.ts";
import { type Pair, picturePath } from "./pairs.ts";

/** What decides the pixels of training samples. */
export interface SampleOptions {
  pairs: readonly Pair[];
  /** Side of the model's input, px. */
  imgSize: number;
  /** Of all random transforms, a whole number, 0 or more. */
  seed: number;
  /** `null`: pictures are only resized. */
  augment: AugmentSettings | null;
}

/**
 * How to make the query and the reference of a pair, by its index, the epoch, and how often it has come
 * in that before: each time it looks different.
 *
 * @throws {RangeError} (The function returned) If there is no pair of that index.
 */
export function pairJobs(
  { pairs, imgSize: size, seed, augment }: SampleOptions,
): (index: number, epoch: number, repeat?: number) => [PictureJob, PictureJob] {
  // Pairs of one entry follow each other; their place among them keeps their samples apart.
  const place: number[] = [];
  pairs.forEach(({ entry }, i) =>
    place.push(pairs[i - 1]?.entry === entry ? place[i - 1]! + 1 : 0)
  );

  return (index, epoch, repeat = 0) => {
    const pair = pairs[index];
    if (pair === undefined) {
      throw new RangeError(`Cannot load pair ${index}: there are ${pairs.length} pairs`);
    }
    const { query, reference, source, altitudeMeters } = pair;
    const keys = [seed, epoch, pair.entry, pair.duplicateId, place[index]!, repeat];
    const view = queryView(source);
    return [
      { path: picturePath(query), size, sample: augment && { view, keys, altitudeMeters } },
      {
        path: picturePath(reference),
        size,
        sample: augment && { view: "gallery", keys, altitudeMeters: null },
      },
    ];
  };
}
