import { type Picture, pictureKey, picturePath } from "./pairs.ts";

/** A picture that cannot be opened. */
export interface BadPicture {
  path: string;
  /** `missing`, or what the decoder says. */
  reason: string;
}

const CONCURRENCY = 16; // hides the latency of a disk; a header costs little time otherwise

/**
 * Opens the header of every picture, each once.
 *
 * @param onProgress Called with the number of pictures done, and of all, after each.
 * @returns How many there are, and those that are missing or no picture, in the order given.
 */
export async function checkPictures(
  pictures: Iterable<Picture>,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<{ total: number; bad: BadPicture[] }> {
  const distinct = new Map<string, Picture>();
  for (const picture of pictures) distinct.set(pictureKey(picture), picture);
  const paths = [...distinct.values()].map(picturePath);

  const { default: sharp } = await import("sharp"); // a static import would stop what goes without

  const reasons = new Array<string | null>(paths.length).fill(null);
  let next = 0;
  let done = 0;
  const work = async () => {
    while (next < paths.length) {
      const i = next++;
      reasons[i] = await fault(sharp(paths[i]!).metadata());
      onProgress(++done, paths.length);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  const bad = paths.flatMap((path, i) =>
    reasons[i] === null ? [] : [{ path, reason: reasons[i]! }]
  );
  return { total: paths.length, bad };
}

async function fault(header: Promise<unknown>): Promise<string | null> {
  try {
    await header;
    return null;
  } catch (error) {
    const [line] = (error as Error).message.split("\n");
    return line!.startsWith("Input file is missing") ? "missing" : line!;
  }
}
