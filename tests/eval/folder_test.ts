import assert from "node:assert/strict";
import { join } from "node:path";
import { listPictures } from "../../eval/folder.ts";

Deno.test("listPictures() lists pictures of all levels in one order", () => {
  const root = Deno.makeTempDirSync();
  try {
    Deno.mkdirSync(`${root}/b/c`, { recursive: true });
    for (
      const name of [
        "b/c/1.PNG",
        "b/2.jpeg",
        "a.jpg",
        "b.jpg",
        "Z.webp",
        "f.avif",
        "é.tif",
        "notes.txt",
        ".hidden.png",
        "png",
      ]
    ) Deno.writeTextFileSync(`${root}/${name}`, "");
    assert.deepEqual(listPictures(root), [
      "Z.webp",
      "a.jpg",
      "b.jpg",
      "b/2.jpeg",
      "b/c/1.PNG",
      "f.avif",
      "é.tif",
    ]);
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
});

Deno.test("listPictures() follows links to folders, and refuses those that lead round", () => {
  const root = Deno.makeTempDirSync();
  try {
    for (const folder of ["set", "disk/a"]) Deno.mkdirSync(join(root, folder), { recursive: true });
    for (const name of ["set/0.jpg", "disk/1.jpg", "disk/a/2.jpg"]) {
      Deno.writeTextFileSync(join(root, name), "");
    }
    const link = (target: string, name: string) => Deno.symlinkSync(target, join(root, name));
    link(join(root, "disk"), "set/flight");
    link(join(root, "disk"), "set/same");
    link(join(root, "disk/1.jpg"), "set/file.jpg");
    link(join(root, "none"), "set/broken");
    const pictures = ["1.jpg", "a/2.jpg"];
    assert.deepEqual(listPictures(join(root, "set")), [
      "0.jpg",
      "file.jpg",
      ...pictures.map((name) => `flight/${name}`),
      ...pictures.map((name) => `same/${name}`),
    ]);
    link(join(root, "set"), "disk/a/back");
    Deno.removeSync(join(root, "set/same")); // folders are read in any order
    assert.throws(() => listPictures(join(root, "set")), {
      message: `Cannot list the pictures of ${root}/set: ` +
        `its folder flight/a/back/flight/ lies in itself, expected no link that leads round`,
    });
  } finally {
    Deno.removeSync(root, { recursive: true });
  }
});

Deno.test("listPictures() names a folder that is missing", () => {
  assert.throws(
    () => listPictures("no/such/folder"),
    /Cannot list the pictures of no\/such\/folder/,
  );
});
