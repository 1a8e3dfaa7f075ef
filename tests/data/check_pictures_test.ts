import assert from "node:assert/strict";
import { join } from "node:path";
import { crc32 } from "node:zlib";
import sharp from "sharp";
import { checkPictures, checkRoots } from "../../data/check_pictures.ts";

Deno.test("checkPictures() finds what training could not open, each once", async () => {
  const root = await Deno.makeTempDir();
  try {
    const create = { width: 3, height: 2, channels: 3, background: "red" } as const;
    await sharp({ create }).png().toFile(join(root, "good.png"));
    await Deno.writeTextFile(join(root, "text.jpg"), "no picture");
    await Deno.writeFile(join(root, "empty.png"), new Uint8Array());
    await Deno.writeTextFile(join(root, "drawing.png"), '<svg width="3" height="2"></svg>');
    const large = await Deno.readFile(join(root, "good.png"));
    const header = new DataView(large.buffer, 8 + 4); // behind signature and length
    header.setUint32(4, 12_000);
    header.setUint32(8, 12_000);
    header.setUint32(17, crc32(large.subarray(12, 29)));
    await Deno.writeFile(join(root, "large.png"), large);
    const names = [
      ...["good.png", "none.png", "text.jpg", "good.png", "empty.png", "none.png"],
      ...["drawing.png", "large.png"],
    ];
    const pictures = names.map((name) => ({ root, folder: "", name }));

    const progress: number[] = [];
    const { total, faults } = await checkPictures(pictures, (done, all) => {
      assert.equal(all, 6);
      progress.push(done);
    });
    assert.equal(total, 6);
    assert.deepEqual(progress, [1, 2, 3, 4, 5, 6]);
    assert.deepEqual(faults.map((fault) => fault.replace(root, "")), [
      "Cannot read /none.png: no such file",
      "Cannot decode /text.jpg: Input buffer contains unsupported image format",
      "Cannot decode /empty.png: the file is empty",
      "Cannot decode /drawing.png: its format is svg, must be one of " +
      "jpeg, png, webp, tiff, gif, heif, jxl, jp2",
      "Cannot decode /large.png: it declares 12000 x 12000 pixels, must be 1 to 134217728",
    ]);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("checkPictures() reads whole files only where their heads are not enough", async () => {
  const root = await Deno.makeTempDir();
  const readFile = Deno.readFile;
  const read: string[] = [];
  try {
    const noise = { type: "gaussian", mean: 128, sigma: 60 } as const;
    const large = await sharp({
      create: { width: 1000, height: 1000, channels: 3, background: "red", noise },
    }).jpeg({ quality: 100 }).toBuffer();
    assert(large.length > 2 ** 19);
    // Five segments that no decoder wants, between the signature and the picture's header.
    const segment = new Uint8Array(2 + 0xffff);
    segment.set([0xff, 0xef, 0xff, 0xff]);
    const late = [large.subarray(0, 2), ...Array(5).fill(segment), large.subarray(2)];
    await Deno.writeFile(join(root, "large.jpg"), large);
    await Deno.writeFile(join(root, "late.jpg"), await new Blob(late).bytes());

    Deno.readFile = (path) => (read.push(`${path}`), readFile(path));
    const pictures = ["large.jpg", "late.jpg"].map((name) => ({ root, folder: "", name }));
    assert.deepEqual((await checkPictures(pictures)).faults, []);
    assert.deepEqual(read, [join(root, "late.jpg")]);
  } finally {
    Deno.readFile = readFile;
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("checkPictures() has nothing to say of no pictures", async () => {
  assert.deepEqual(await checkPictures([]), { total: 0, faults: [] });
});

Deno.test("checkRoots() refuses a data root that is no folder, or that is another's", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [root, other, none] = ["root", "other", "none"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    for (const each of [root, other]) await Deno.mkdir(each);
    const pictures = (root: string, count = 100) =>
      Array.from({ length: count }, (_, i) => ({ root, folder: "drone", name: `${i}.jpg` }));
    const wanted =
      "expected the data root of drone/0.jpg (its entry's data_root, else --data_root)";
    await Deno.mkdir(join(root, "drone"));
    for (const { name } of pictures(root).slice(50)) {
      await Deno.writeTextFile(join(root, "drone", name), "");
    }
    checkRoots([]);
    checkRoots(pictures(root)); // half of them: that is the loader's business
    checkRoots([...pictures(root).slice(99), ...pictures(root).slice(0, 99)]);
    assert.throws(() => checkRoots([...pictures(root), ...pictures(other)]), {
      message: `Cannot find pictures in ${other}: none of 16 that were tried is there, ${wanted}`,
    });
    assert.throws(() => checkRoots(pictures(other, 2)), /: none of 2 that were tried is there,/);
    assert.throws(() => checkRoots([...pictures(root), ...pictures(none)]), {
      message: `Cannot find pictures in ${none}: there is no such folder, ${wanted}`,
    });
    // With --allow_outside_root, pictures may have no use for a root.
    checkRoots([{ root: none, folder: join(root, "drone"), name: "99.jpg" }]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
