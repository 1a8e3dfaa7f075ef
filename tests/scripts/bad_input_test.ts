/** What the commands say about input that cannot work: one line, exit code 1 or 2, no stack trace. */
import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { encodeSafetensors, writeSafetensors } from "../../model/safetensors.ts";
import { GPU_OFF } from "../testing.ts";
import { type Outcome, runCommand } from "./command.ts";
import { pair, tinyFlags, tinyWeights, writeTinyWorld } from "./tiny_world.ts";

/** The last line is the error, there is no stack trace, and it says what it must. */
function assertRefused({ code, stderr }: Outcome, wantedCode: number, wanted: RegExp): void {
  const errors = stderr.split("\n").filter((line) => line.startsWith("error: "));
  assert.equal(errors.length, 1, stderr);
  assert.match(errors[0]!, wanted);
  assert.doesNotMatch(stderr, /^\s+at /m, "a stack trace");
  assert.equal(code, wantedCode, stderr);
}

/** A tiny world with everything that can be wrong. */
async function makeWorld(folder: string): Promise<void> {
  await writeTinyWorld(folder, 2);
  const at = (name: string) => join(folder, name);
  const json = (name: string, value: unknown) =>
    Deno.writeTextFile(at(name), JSON.stringify(value));
  await json("object.json", { entries: [] });
  const bad = { ...pair("1.jpg", "1.jpg"), pair_pos_sate_img_list: 7 };
  await json("bad_key.json", [pair("0.jpg", "0.jpg"), bad]);
  for (const name of ["text", "more"]) {
    await Deno.writeTextFile(at(`drone/${name}.jpg`), "this is no picture\n");
  }
  await json("text.json", [pair("text.jpg", "0.jpg"), pair("more.jpg", "1.jpg")]);
  const create = (width: number, height: number) =>
    sharp({ create: { width, height, channels: 3, background: "#446644" } });
  await create(1, 1).png().toFile(at("drone/one.png"));
  await create(12_000, 9_000).jpeg().toFile(at("satellite/large.jpg"));
  await json("sizes.json", [pair("one.png", "0.jpg"), pair("1.jpg", "large.jpg")]);
  const weights = tinyWeights();
  weights.set("norm.bias", { shape: [383], data: new Float32Array(383) });
  await writeSafetensors(at("shape.safetensors"), weights);
  const bytes = encodeSafetensors(new Map([["a", { shape: [9], data: new Float32Array(9) }]]));
  await Deno.writeFile(at("cut.safetensors"), bytes.subarray(0, bytes.length - 5));
}

Deno.test({
  name: "commands refuse bad input in one line",
  ignore: GPU_OFF,
  fn: async (t) => {
    const folder = await Deno.makeTempDir();
    await makeWorld(folder);
    const at = (name: string) => join(folder, name);
    const train = (...args: string[]) => [...tinyFlags(folder), "--batch_size", "2", ...args];
    const cases: [
      name: string,
      args: string[],
      code: number,
      wanted: RegExp,
      env?: Record<string, string>,
    ][] = [
      [
        "an unknown flag",
        train("--lerning_rate", "1"),
        2,
        /^error: Cannot run train: .*--lerning_rate/,
      ],
      [
        "a missing pairs file",
        train("--train_pairs_meta_file", "none.json"),
        1,
        /^error: Cannot read none\.json: /,
      ],
      [
        "JSON that is no array",
        train("--train_pairs_meta_file", at("object.json")),
        1,
        /object\.json.*array/,
      ],
      [
        "a bad entry",
        train("--train_pairs_meta_file", at("bad_key.json")),
        1,
        /bad_key\.json.*entry 1.*pair_pos_sate_img_list/,
      ],
      [
        "a tensor of the wrong shape",
        train("--weights", at("shape.safetensors")),
        1,
        /norm\.bias.*\(383\).*\(384\)/,
      ],
      [
        "a truncated safetensors file",
        train("--weights", at("cut.safetensors")),
        1,
        /cut\.safetensors/,
      ],
      [
        "a missing weights file",
        train("--weights", at("none.safetensors")),
        1,
        /none\.safetensors/,
      ],
      [
        "an image size of 100",
        train("--img_size", "100"),
        2,
        /--img_size must be a multiple of 16, as 96 or 112: got 100$/,
      ],
      [
        "a batch of one pair",
        train("--batch_size", "1"),
        2,
        /--batch_size must be an integer >= 2: got "1"$/,
      ],
      [
        "text files named .jpg",
        train("--train_pairs_meta_file", at("text.json")),
        1,
        /Cannot decode .*(text|more)\.jpg/,
      ],
      ["no adapter", train(), 1, /^error: Cannot open a GPU: no WebGPU adapter answered/, {
        DENO_WEBGPU_BACKEND: "none",
      }],
    ];
    for (const [name, args, code, wanted, env] of cases) {
      await t.step(
        `train: ${name}`,
        async () => assertRefused(await runCommand("train", args, env), code, wanted),
      );
    }
    await t.step("eval: neither adapter nor embeddings", async () => {
      const outcome = await runCommand("eval", ["--test_pairs_meta_file", at("pairs.json")]);
      assertRefused(outcome, 2, /^error: Cannot run eval: give either --adapter, or --model for /);
    });
    await t.step("train: a picture of 1 x 1 and one of 12,000 x 9,000 work", async () => {
      const args = train("--train_pairs_meta_file", at("sizes.json"), "--no_augment");
      const { code, stderr } = await runCommand("train", args);
      assert.equal(code, 0, stderr);
    });
    await Deno.remove(folder, { recursive: true });
  },
});
