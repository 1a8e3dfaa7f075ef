import assert from "node:assert/strict";
import type { Picture } from "../../data/pairs.ts";
import {
  alignEmbeddings,
  type EmbeddingTensors,
  normaliseRows,
  parseEmbeddings,
  pictureNames,
  toTensors,
} from "../../eval/embeddings.ts";
import type { Protocol } from "../../eval/protocol.ts";
import { assertClose } from "../testing.ts";

/** A file with one query and two references of dimension 2, changed as wanted. */
function file(change: Partial<Record<"query" | "gallery", number[]>> = {}): EmbeddingTensors {
  const { query = [3, 4], gallery = [0, 2, -5, 0] } = change;
  return toTensors({
    dim: 2,
    query: Float32Array.from(query),
    gallery: Float32Array.from(gallery),
    queryNames: ["q.jpg"],
    galleryNames: ["a.png", "b.png"],
  });
}

Deno.test("parseEmbeddings() reads what toTensors() writes, with rows of unit length", () => {
  const named = parseEmbeddings(file(), "e.safetensors");
  assertClose(named.query, [0.6, 0.8], { atol: 0, rtol: 2 ** -23 }); // two roundings to f32
  assert.deepEqual([...named.gallery], [0, 1, -1, 0]);
  assert.deepEqual([named.queryNames, named.galleryNames], [["q.jpg"], ["a.png", "b.png"]]);
  assert.equal(named.dim, 2);
});

Deno.test("parseEmbeddings() names what is wrong with a file", () => {
  const { tensors, metadata } = file();
  const withTensor = (shape: number[]) =>
    new Map(tensors).set("gallery", { shape, data: new Float32Array(4).fill(1) });
  const cases: [EmbeddingTensors, string, RegExp][] = [
    [
      { tensors: new Map(), metadata },
      "TypeError",
      /tensor "query" is missing, expected \(1, dim\)/,
    ],
    [
      { tensors: withTensor([4]), metadata },
      "TypeError",
      /tensor "gallery" is \(4\), expected \(2, dim\)/,
    ],
    [{ tensors: withTensor([4, 1]), metadata }, "TypeError", /"gallery" is \(4,1\)/],
    [{ tensors: withTensor([2, 0]), metadata }, "TypeError", /"gallery" is \(2,0\)/],
    [
      { tensors: withTensor([2, 1]), metadata },
      "TypeError",
      /"query" has rows of 2 values but "gallery" of 1/,
    ],
    [{ tensors, metadata: { query: "[]" } }, "TypeError", /tensor "query".*expected \(0, dim\)/],
    [{ tensors, metadata: {} }, "TypeError", /metadata "query" is missing/],
    [
      { tensors, metadata: { ...metadata, query: "{" } },
      "SyntaxError",
      /metadata "query" is not JSON/,
    ],
    [
      { tensors, metadata: { ...metadata, gallery: "[1]" } },
      "TypeError",
      /metadata "gallery" is \[1\]/,
    ],
    [file({ gallery: [1, 0, 0, 0] }), "RangeError", /gallery "b.png" has an embedding of length 0/],
    [file({ query: [1, NaN] }), "RangeError", /query "q.jpg" has an embedding of length NaN/],
    [file({ query: [1, Infinity] }), "RangeError", /query "q.jpg".* of length Infinity/],
  ];
  for (const [content, name, message] of cases) {
    assert.throws(() => parseEmbeddings(content, "e.safetensors"), { name, message });
    assert.throws(
      () => parseEmbeddings(content, "e.safetensors"),
      /^\w+: Cannot read embeddings from e/,
    );
  }
});

Deno.test("normaliseRows() leaves its input as it is and survives values whose squares overflow f32", () => {
  const values = new Float32Array([3e30, 4e30]);
  assertClose(normaliseRows(values, 2, String), [0.6, 0.8], { atol: 0, rtol: 2 ** -22 });
  assert.equal(values[0], Math.fround(3e30));
});

const picture = (path: string): Picture => {
  const parts = path.split("/");
  return { root: parts.slice(0, -2).join("/"), folder: parts.at(-2)!, name: parts.at(-1)! };
};

/** Rows that {@linkcode alignEmbeddings} takes for gallery pictures, by the names in the file. */
function align(names: string[], paths: string[]): number[] {
  const item = (path: string) => ({ picture: picture(path), location: null });
  const protocol: Protocol = {
    evalMode: "pos",
    queries: [{ ...item("root/drone/q.jpg"), source: "s" }],
    gallery: paths.map(item),
    truths: [],
    skipped: new Map(),
    maps: null,
  };
  const named = {
    dim: 1,
    query: new Float32Array([7]),
    gallery: Float32Array.from(names, (_, row) => row),
    queryNames: ["drone/q.jpg"],
    galleryNames: names,
  };
  const aligned = alignEmbeddings(named, protocol, "e.safetensors");
  assert.deepEqual([...aligned.query], [7]);
  return [...aligned.gallery];
}

Deno.test("alignEmbeddings() finds rows by path below the root, by file name, or by longer paths", () => {
  const paths = ["root/tiles/a.png", "root/tiles/b.png"];
  assert.deepEqual(align(["tiles/b.png", "tiles/c.png", "tiles/a.png"], paths), [2, 0]);
  assert.deepEqual(align(["b.png", "a.png"], paths), [1, 0]);
  assert.deepEqual(align(["/elsewhere/tiles/b.png", "C:\\x\\tiles\\a.png"], paths), [1, 0]);
  assert.deepEqual(align(["./b.png", "root//tiles/a.png"], paths), [1, 0]);
});

Deno.test("alignEmbeddings() prefers the name that agrees longest", () => {
  const paths = ["gta/tiles/a.png", "visloc/tiles/a.png"];
  assert.deepEqual(align(["visloc/tiles/a.png", "gta/tiles/a.png"], paths), [1, 0]);
  assert.deepEqual(align(["old/a.png", "tiles/a.png"], ["root/tiles/a.png"]), [1]);
});

Deno.test("alignEmbeddings() does not compare all that have one file name", () => {
  const paths = Array.from({ length: 40_000 }, (_, i) => `${i}/H${80 + i % 3}.JPG`);
  const start = performance.now();
  assert.deepEqual(align(paths, paths.map((path) => `dense/${path}`)), [...paths.keys()]);
  const ms = performance.now() - start; // 0.3 s; 20 s if a third of the rows were looked at
  assert(ms < 5000, `${ms} ms`);
});

Deno.test("alignEmbeddings() refuses pictures with no row, two, or a shared one", () => {
  const one = ["root/tiles/a.png"];
  const cases: [string[], string[], RegExp][] = [
    [["other/a.png"], one, /of 1 of 1 pictures.*1 such as "other\/a.png".*tiles.a.png fits 0 rows/],
    [["tiles/a.png", "tiles/a.png"], one, /tiles.a.png fits 2 rows, wanted 1/],
    [["a.png"], ["r/x/a.png", "r/y/a.png"], /of 1 of 2 .*"a.png" fits r.x.a.png and r.y.a.png/],
    [[], one, /which has 0: first, /],
  ];
  for (const [names, paths, message] of cases) {
    assert.throws(() => align(names, paths), { name: "RangeError", message });
  }
});

Deno.test("pictureNames() are short where that says enough, and align with themselves", () => {
  const pictures = ["gta/tiles/a.png", "visloc/tiles/a.png", "visloc/tiles/b.png"];
  const names = pictureNames(pictures.map(picture));
  assert.deepEqual(names, ["gta/tiles/a.png", "visloc/tiles/a.png", "tiles/b.png"]);
  assert.deepEqual(align(names, pictures), [0, 1, 2]);
});
