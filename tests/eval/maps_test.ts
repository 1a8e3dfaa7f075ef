import assert from "node:assert/strict";
import { splitByMap } from "../../eval/maps.ts";

const item = (path: string) => {
  const [root, folder, ...name] = path.split("/") as [string, string, ...string[]];
  return { picture: { root, folder, name: name.join("/") } };
};
const truth = (...positives: number[]) => ({ positives, semiPositives: [] });

Deno.test("splitByMap() groups by the letters before the first underscore", () => {
  const queries = ["r/drone/03_0001.JPG", "r/drone/04_0001.JPG", "r/drone/03_0002.JPG"].map(item);
  const gallery = ["03_5_0_0.png", "04_5_0_0.png", "03_6_0_0.png", "05_5_0_0.png"]
    .map((name) => item(`r/satellite/${name}`));
  const maps = splitByMap({ queries, gallery, truths: [truth(0), truth(1), truth(2)] });
  assert.deepEqual(maps, [
    { queries: [0, 2], gallery: [0, 2] },
    { queries: [1], gallery: [1] },
  ]);
});

Deno.test("splitByMap() looks for the letters past the folders of a name", () => {
  const queries = ["r/drone/x_y/03_1.JPG", "r/drone/x_y/04_1.JPG"].map(item);
  const gallery = ["r/satellite/03_5_0_0.png", "r/satellite/z_1/04_5_0_0.png"].map(item);
  assert.deepEqual(splitByMap({ queries, gallery, truths: [truth(0), truth(1)] }), [
    { queries: [0], gallery: [0] },
    { queries: [1], gallery: [1] },
  ]);
});

Deno.test("splitByMap() keeps roots apart and takes a root as one map where names mean something else", () => {
  const queries = ["gta/drone/500_0001.png", "vpair/queries/0001.png", "gta/drone/100_7.png"].map(
    item,
  );
  const gallery = [
    "gta/satellite/4_0_6_13.png",
    "vpair/views/0001.png",
    "gta/satellite/5_0_1_1.png",
  ]
    .map(item);
  const maps = splitByMap({ queries, gallery, truths: [truth(0), truth(1), truth(2)] });
  assert.deepEqual(maps, [
    { queries: [0, 2], gallery: [0, 2] },
    { queries: [1], gallery: [1] },
  ]);
});

Deno.test("splitByMap() keeps equal names of two roots apart", () => {
  const queries = ["r/drone/03_1.JPG", "s/drone/03_1.JPG"].map(item);
  const gallery = ["s/satellite/03_5_0_0.png", "r/satellite/03_5_0_0.png"].map(item);
  assert.deepEqual(splitByMap({ queries, gallery, truths: [truth(1), truth(0)] }), [
    { queries: [0], gallery: [1] },
    { queries: [1], gallery: [0] },
  ]);
});

Deno.test("splitByMap() never parts a query from a positive in another folder", () => {
  const queries = ["r/drone/03_1.JPG"].map(item);
  const gallery = ["r/a/03_5_0_0.png", "r/b/03_5_0_0.png"].map(item);
  const maps = splitByMap({ queries, gallery, truths: [truth(0, 1)] });
  assert.deepEqual(maps, [{ queries: [0], gallery: [0, 1] }]);
});

Deno.test("splitByMap() never parts a query from a semi-positive", () => {
  const queries = ["r/drone/03_0001.JPG", "r/drone/04_0001.JPG"].map(item);
  const gallery = ["03_5_0_0.png", "04_5_0_0.png"].map((name) => item(`r/satellite/${name}`));
  const truths = [{ positives: [0], semiPositives: [1] }, truth(1)];
  assert.deepEqual(splitByMap({ queries, gallery, truths }), [{
    queries: [0, 1],
    gallery: [0, 1],
  }]);
});

Deno.test("splitByMap() keeps equal letters of two folders apart", () => {
  const queries = ["r/drone/03_1.JPG", "r/drone/03_2.JPG"].map(item);
  const gallery = ["r/east/03_5_0_0.png", "r/west/03_5_0_0.png"].map(item);
  assert.deepEqual(splitByMap({ queries, gallery, truths: [truth(0), truth(1)] }), [
    { queries: [0], gallery: [0] },
    { queries: [1], gallery: [1] },
  ]);
});
