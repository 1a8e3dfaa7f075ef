import assert from "node:assert/strict";
import { evaluate } from "../../eval/evaluate.ts";
import { rankQueries } from "../../eval/ranks_cpu.ts";
import {
  answerText,
  embedUniversity,
  readUniversity,
  universityLines,
  type UniversityOptions,
  universityProtocol,
} from "../../eval/university.ts";
import { assertClose } from "../testing.ts";

const FOLDERS: Record<string, string[]> = {
  "query_drone": [
    "0001/image-01.jpeg",
    "0001/image-02.jpeg",
    "0002/image-01.jpeg",
    "0007/image-01.jpeg",
  ],
  "gallery_satellite": ["-1/junk.jpg", "0001/0001.jpg", "0002/0002.jpg", "0003/0003.jpg"],
  "query_satellite": ["0001/0001.jpg", "0002/0002.jpg"],
  "gallery_drone": ["0001/image-01.jpeg", "0001/image-02.jpeg", "0002/image-01.jpeg"],
  "query_bev": ["0001/1.png", "0001/2.png", "0001/3.png"],
};
const listFolder = (path: string) => FOLDERS[path.split(/[\\/]/).at(-1)!] ?? [];
const read = (options: Omit<UniversityOptions, "listFolder">) =>
  readUniversity("test", { ...options, listFolder });

Deno.test("readUniversity() labels pictures by folder and sets junk aside", () => {
  const { queries, gallery, junk } = read({ task: "drone2sate" });
  assert.deepEqual(queries.map(({ label, name }) => [label, name]), [
    [1, "0001/image-01.jpeg"],
    [1, "0001/image-02.jpeg"],
    [2, "0002/image-01.jpeg"],
    [7, "0007/image-01.jpeg"],
  ]);
  assert.deepEqual(gallery.map(({ label }) => label), [1, 2, 3]);
  assert.equal(junk, 1);
  assert.deepEqual(queries[3]!.pictures, [
    { root: "test", folder: "query_drone", name: "0007/image-01.jpeg" },
  ]);
});

Deno.test("readUniversity() groups the frames of a video on the drone's side", () => {
  const shape = (items: { name: string; pictures: unknown[] }[]) =>
    items.map(({ name, pictures }) => `${name} x ${pictures.length}`);
  const there = read({ task: "drone2sate", video: true });
  assert.deepEqual(shape(there.queries), ["0001 x 2", "0002 x 1", "0007 x 1"]);
  assert.equal(there.gallery.length, 3);
  const back = read({ task: "sate2drone", video: true });
  assert.deepEqual(shape(back.queries), ["0001/0001.jpg x 1", "0002/0002.jpg x 1"]);
  assert.deepEqual(shape(back.gallery), ["0001 x 2", "0002 x 1"]);
  assert.deepEqual(shape(read({ task: "drone2sate", video: true, droneView: "bev" }).queries), [
    "0001 x 3",
  ]);
});

Deno.test("readUniversity() refuses empty folders and folders that are no number", () => {
  assert.throws(
    () => read({ task: "sate2drone", droneView: "none" }),
    /gallery_none: it holds no pictures/,
  );
  for (const name of ["a/1.jpg", "1.jpg", "-2/1.jpg", "1e3/1.jpg"]) {
    const listFolder = () => [name];
    assert.throws(() => readUniversity("test", { task: "drone2sate", listFolder }), {
      name: "TypeError",
      message: /its folder is not a number, wanted that of a building/,
    });
  }
});

Deno.test("universityProtocol() keeps all queries, with every item of the building as positives", () => {
  const there = universityProtocol(read({ task: "drone2sate" }));
  assert.deepEqual(there.truths.map(({ positives }) => positives), [[0], [0], [1], []]);
  const back = universityProtocol(read({ task: "sate2drone" }));
  assert.deepEqual(back.truths.map(({ positives }) => positives), [[0, 1], [2]]);
});

/** One row a path, by its building and file; lengths differ, as sums over flips do. */
const ROWS: Record<string, number[]> = {
  "query_drone/0001/image-01.jpeg": [2, 0],
  "query_drone/0001/image-02.jpeg": [0, 3],
  "query_drone/0002/image-01.jpeg": [3, 4],
  "query_drone/0007/image-01.jpeg": [1, 0],
  "gallery_satellite/0001/0001.jpg": [5, 0],
  "gallery_satellite/0002/0002.jpg": [0.5, 0],
  "gallery_satellite/0003/0003.jpg": [0, 1],
};
const embed = (paths: string[]) =>
  Promise.resolve(
    Float32Array.from(paths.flatMap((path) => ROWS[path.split(/[\\/]/).slice(-3).join("/")]!)),
  );

Deno.test("embedUniversity() averages unit rows of frames and leaves the mean as it is", async () => {
  const { query, gallery, dim } = await embedUniversity(
    read({ task: "drone2sate", video: true }),
    embed,
  );
  assert.equal(dim, 2);
  // (1, 0) and (0, 1) give (0.5, 0.5), of length 0.71.
  assertClose(query, [0.5, 0.5, 0.6, 0.8, 1, 0], { atol: 0, rtol: 2 ** -23 });
  assert.deepEqual([...gallery], [1, 0, 1, 0, 0, 1]);
});

Deno.test("embedUniversity() refuses rows that are zero, cut off or of two lengths", async () => {
  const university = read({ task: "drone2sate" });
  const giving = (valuesOf: (paths: string[]) => number) => (paths: string[]) =>
    Promise.resolve(new Float32Array(valuesOf(paths)).fill(1));
  await assert.rejects(embedUniversity(university, giving(() => 7)), /7 values for 4 pictures/);
  await assert.rejects(embedUniversity(university, giving(() => 0)), /0 values for 4 pictures/);
  await assert.rejects(
    embedUniversity(university, giving(({ length }) => length === 4 ? 8 : 9)),
    /queries have 2 values a row but references 3/,
  );
  await assert.rejects(
    embedUniversity(university, (paths) => Promise.resolve(new Float32Array(2 * paths.length))),
    { name: "RangeError", message: /query_drone.0001.image-01.jpeg has an embedding of length 0/ },
  );
});

Deno.test("universityLines() prints what evaluate_gpu.py prints, beside our own metrics", async () => {
  const university = read({ task: "drone2sate" });
  const { metrics, rankings } = await evaluate({
    protocol: universityProtocol(university),
    embeddings: await embedUniversity(university, embed),
  });
  // References (1, 0), (1, 0), (0, 1). Query 0 (1, 0): its 0 ties with 1, rank 1, AP (0 + 1/2)/2.
  // Query 1 (0, 1): its 0 is behind 2 and ties with 1, rank 2, AP (0 + 1/3)/2.
  // Query 2 (0.6, 0.8): likewise with its 1. Query 3 has no positive and stays in the denominator.
  assert.deepEqual(rankings.map(({ positiveRanks }) => positiveRanks), [[1], [2], [2], []]);
  assert.deepEqual(universityLines(rankings, university), [
    "0",
    `Recall@1:0.00 Recall@5:75.00 Recall@10:75.00 Recall@top1:0.00 AP:${
      (100 * (1 / 4 + 1 / 6 + 1 / 6) / 4).toFixed(2)
    }`,
  ]);
  const { queries, skipped, "R@5": r5, AP_trapezoid: ap, gallery } = metrics.university!;
  assert.deepEqual([queries, skipped, r5, gallery], [3, 1, 100, 3]);
  assertClose([ap!], [100 * (1 / 4 + 1 / 6 + 1 / 6) / 3], { atol: 1e-12, rtol: 0 });
});

Deno.test("universityLines() takes the index of 1% from the gallery with its junk", () => {
  const ranking = { positiveRanks: [10], hitRank: 10, top: [], topScores: [] };
  const item = { label: 1, name: "0001", pictures: [] };
  const lines = (gallery: number, junk: number) =>
    universityLines([ranking], { queries: [], gallery: new Array(gallery).fill(item), junk });
  // 951 references: index 10 is rank 10, found; 949 (index 9) do not reach it.
  assert.match(lines(940, 11).join("\n"), /^10\nRecall@1:0.00 .*Recall@top1:100.00 AP:4.55$/);
  assert.match(lines(949, 0).join("\n"), /^9\n.*Recall@top1:0.00 /);
});

Deno.test("answerText() writes both published formats", async () => {
  const university = read({ task: "drone2sate" });
  const embeddings = await embedUniversity(university, embed);
  const { truths } = universityProtocol(university);
  const rankings = rankQueries({ ...embeddings, truths, topK: 3 });
  assert.equal(
    answerText(rankings, university.gallery, "tab"),
    "0002.jpg\t0001.jpg\t0003.jpg\n0003.jpg\t0002.jpg\t0001.jpg\n" +
      "0003.jpg\t0001.jpg\t0002.jpg\n0001.jpg\t0002.jpg\t0003.jpg\n",
  );
  assert.equal(
    answerText(rankings, university.gallery, "space"),
    "0002 0001 0003\n0003 0002 0001\n0003 0001 0002\n0001 0002 0003\n",
  );
});

Deno.test("answerText() writes ten names, with folders where file names repeat", () => {
  const top = Array.from({ length: 12 }, (_, j) => 11 - j);
  const ranking = { positiveRanks: [], hitRank: null, top, topScores: [] };
  const items = (nameOf: (j: number) => string) =>
    top.map((_, j) => ({ label: j, name: nameOf(j), pictures: [] }));
  const pictures = items((j) => `000${j}/image-01.v2.jpeg`);
  assert.match(answerText([ranking], pictures, "tab"), /^00011\/image-01\.v2\.jpeg\t/);
  const spaced = answerText([ranking], pictures, "space");
  assert.ok(spaced.startsWith("00011/image-01.v2 00010/image-01.v2 "));
  assert.equal(spaced.split(" ").length, 10);
  assert.match(answerText([ranking], items((j) => `000${j}`), "space"), /^00011 00010 0009 /);
});
