import assert from "node:assert/strict";
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
      "é.tif",
    ]);
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
