import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { checkPictures } from "../../data/check_pictures.ts";

Deno.test("checkPictures() finds what is missing or no picture, each once", async () => {
  const root = await Deno.makeTempDir();
  try {
    const create = { width: 3, height: 2, channels: 3, background: "red" } as const;
    await sharp({ create }).png().toFile(join(root, "good.png"));
    await Deno.writeTextFile(join(root, "text.jpg"), "no picture");
    await Deno.writeFile(join(root, "empty.png"), new Uint8Array());
    const names = ["good.png", "none.png", "text.jpg", "good.png", "empty.png", "none.png"];
    const pictures = names.map((name) => ({ root, folder: "", name }));

    const progress: number[] = [];
    const { total, bad } = await checkPictures(pictures, (done, all) => {
      assert.equal(all, 4);
      progress.push(done);
    });
    assert.equal(total, 4);
    assert.deepEqual(progress, [1, 2, 3, 4]);
    assert.deepEqual(bad.map(({ path }) => path), [
      join(root, "none.png"),
      join(root, "text.jpg"),
      join(root, "empty.png"),
    ]);
    assert.equal(bad[0]!.reason, "missing");
    assert.match(bad[1]!.reason, /^Input file.*unsupported image format$/);
    assert.match(bad[2]!.reason, /^Input file/);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("checkPictures() has nothing to say of no pictures", async () => {
  assert.deepEqual(await checkPictures([]), { total: 0, bad: [] });
});
