import assert from "node:assert/strict";
import { join } from "node:path";
import type { Gpu } from "../../kernels/gpu.ts";
import { UsageError } from "../../scripts/cli.ts";
import { checkImgSize, choosePrecision, readEntries } from "../../scripts/flags.ts";

const ENTRY = {
  drone_img_dir: "drone",
  drone_img_name: "a.png",
  drone_loc_x_y: [50.1, 7.1],
  sate_img_dir: "tiles",
  pair_pos_sate_img_list: ["b.png"],
  pair_pos_sate_loc_x_y_list: [[50.1, 7.1]],
};

Deno.test("checkImgSize() refuses parts of patches and says what is near", () => {
  for (const size of [16, 32, 384]) checkImgSize(size, "eval");
  for (const [size, below, above] of [[17, 16, 32], [383, 368, 384], [40, 32, 48]] as const) {
    assert.throws(
      () => checkImgSize(size, "eval"),
      new UsageError(
        `Cannot run eval: --img_size must be a multiple of 16, as ${below} or ${above}: got ${size}`,
      ),
    );
  }
});

Deno.test("readEntries() takes the path as it is given, else in the data root", async () => {
  const folder = await Deno.realPath(await Deno.makeTempDir());
  const cwd = Deno.cwd();
  try {
    const [root, other] = [join(folder, "root"), join(folder, "other.json")];
    await Deno.mkdir(root);
    const write = (path: string, name: string) =>
      Deno.writeTextFile(path, JSON.stringify([{ ...ENTRY, drone_img_name: name }]));
    await write(join(root, "pairs.json"), "in_root.png");
    await write(other, "outside.png");
    await Deno.mkdir(join(root, folder), { recursive: true });
    await write(join(root, other), "never.png"); // an absolute path is not one of the root's
    Deno.chdir(folder);
    const names = async (file: string, dataRoot: string | null) => {
      const entries = await readEntries(file, { dataRoot, allowOutsideRoot: false });
      return entries.map(({ query }) => [query.root, query.name]);
    };
    assert.deepEqual(await names("pairs.json", root), [[root, "in_root.png"]]);
    assert.deepEqual(await names("root/pairs.json", "root"), [["root", "in_root.png"]]);
    assert.deepEqual(await names(other, root), [[root, "outside.png"]]); // absolute
    assert.deepEqual(await names("other.json", root), [[root, "outside.png"]]);
    await assert.rejects(names("none.json", root), {
      name: "NotFound",
      message: `Cannot read none.json: no such file, and none in the data root ${root}`,
    });

    await write("pairs.json", "here.png");
    for (const file of ["pairs.json", "./pairs.json"]) {
      await assert.rejects(
        names(file, root),
        new UsageError(
          `Cannot choose between ${file} and ${join(root, "pairs.json")}: both are there, ` +
            "give the absolute path of the one that is meant",
        ),
      );
    }
    assert.deepEqual(await names(join(folder, "pairs.json"), root), [[root, "here.png"]]);
    await Deno.remove("pairs.json");
    await Deno.symlink(join(root, "pairs.json"), "pairs.json"); // the same file
    assert.deepEqual(await names("pairs.json", root), [[root, "in_root.png"]]);

    await Deno.writeTextFile(other, "{}");
    await assert.rejects(names(other, root), (error: Error) => error.message.includes(other));
  } finally {
    Deno.chdir(cwd);
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("readEntries() lets pictures out of their root only when told to", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "pairs.json");
    await Deno.writeTextFile(path, JSON.stringify([{ ...ENTRY, drone_img_dir: "../drone" }]));
    const read = (allowOutsideRoot: boolean) =>
      readEntries(path, { dataRoot: folder, allowOutsideRoot });
    await assert.rejects(read(false), /\.\.\/drone/);
    assert.equal((await read(true)).length, 1);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("choosePrecision() is f16 on GPUs that have it, unless told otherwise", () => {
  const gpu = (hasF16: boolean, isCpu: boolean) => ({ hasF16, isCpu }) as Gpu;
  assert.equal(choosePrecision(gpu(true, false), "auto"), "f16");
  assert.equal(choosePrecision(gpu(true, true), "auto"), "f32");
  assert.equal(choosePrecision(gpu(false, false), "auto"), "f32");
  assert.equal(choosePrecision(gpu(true, false), "f32"), "f32");
  assert.equal(choosePrecision(gpu(true, true), "f16"), "f16");
});
