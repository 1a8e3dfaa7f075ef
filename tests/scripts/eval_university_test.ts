import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { writeAdapter } from "../../model/adapter.ts";
import { modelConfig } from "../../model/config.ts";
import { initialAdapter } from "../../model/init.ts";
import { writeSafetensors } from "../../model/safetensors.ts";
import { GPU_OFF, uniform } from "../testing.ts";
import { runCommand } from "./command.ts";
import { tinyWeights } from "./tiny_world.ts";

const BUILDINGS = ["0001", "0004", "0009"];

/** Each building once from above, and as two drone frames: the picture and its mirror image. */
async function writeUniversity(folder: string): Promise<void> {
  for (const [i, building] of BUILDINGS.entries()) {
    const coarse = Uint8Array.from(uniform(5 * 5 * 3, i + 1), (x) => 128 + 120 * x);
    const ground = sharp(coarse, { raw: { width: 5, height: 5, channels: 3 } }).resize(32, 32);
    for (const side of ["gallery_satellite", "query_drone"]) {
      await Deno.mkdir(join(folder, side, building), { recursive: true });
    }
    await ground.clone().png().toFile(
      join(folder, "gallery_satellite", building, `${building}.png`),
    );
    await ground.clone().flop().png().toFile(join(folder, "query_drone", building, "a.png"));
    await ground.clone().png().toFile(join(folder, "query_drone", building, "b.png"));
  }
}

Deno.test({
  name: "eval --layout university finds mirrored pictures with --flip and writes answers",
  ignore: GPU_OFF,
  fn: async (t) => {
    const folder = await Deno.makeTempDir();
    const at = (name: string) => join(folder, name);
    await writeUniversity(folder);
    const config = modelConfig("vit_small_patch16_dinov3", { depth: 1 });
    const targets = ["attn.qkv"];
    const adapter = initialAdapter(config, {
      rank: 2,
      alpha: 2,
      dropout: 0,
      targets,
      head: null,
      seed: 0,
    });
    await writeAdapter(at("adapter"), adapter);
    await writeSafetensors(at("weights.safetensors"), tinyWeights());
    const flags = [
      ["layout", "university"],
      ["test_dir", folder],
      ["adapter", at("adapter")],
      ["weights", at("weights.safetensors")],
      ["depth", "1"],
      ["img_size", "32"],
      ["num_workers", "0"],
      ["json", at("metrics.json")],
      ["answer", at("answer.txt")],
    ].flatMap(([name, value]) => [`--${name}`, value!]);
    const run = async (...more: string[]) => {
      const outcome = await runCommand("eval", [...flags, "--flip", ...more]);
      assert.equal(outcome.code, 0, outcome.stderr);
      return outcome.stdout.split("\n");
    };

    await t.step("pictures", async () => {
      const lines = await run();
      // Sums over flips of a picture and its mirror image are equal: each finds its building.
      assert.match(lines[1]!, /^Recall@1:100\.00 Recall@5:100\.00 .* AP:100\.00$/);
      assert.match(lines[2]!, /^\[OVERALL\] Queries: 6, R@1: 100\.00%/);
      const answers = (await Deno.readTextFile(at("answer.txt"))).trimEnd().split("\n");
      assert.deepEqual(
        answers.map((line) => line.split("\t")[0]),
        BUILDINGS.flatMap((building) => [`${building}.png`, `${building}.png`]),
      );
      const scores = JSON.parse(await Deno.readTextFile(at("metrics.json")));
      assert.equal(scores.overall.AP_trapezoid, 100);
    });

    await t.step("videos, two scales and answers between spaces", async () => {
      const lines = await run("--video", "mean", "--ms", "1,2", "--answer_format", "space");
      assert.match(lines[2]!, /^\[OVERALL\] Queries: 3, R@1: 100\.00%/);
      const [first] = (await Deno.readTextFile(at("answer.txt"))).split("\n");
      assert.equal(first!.split(" ")[0], "0001");
    });

    await t.step("a scale that is no number", async () => {
      const { code, stderr } = await runCommand("eval", [...flags, "--ms", "1,x"]);
      assert.equal(code, 2);
      assert.match(stderr, /^error: Cannot run eval: --ms must be scales above 0/m);
    });
    await Deno.remove(folder, { recursive: true });
  },
});
