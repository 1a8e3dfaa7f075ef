import assert from "node:assert/strict";
import { pairsOf, parseEntries } from "../../data/pairs.ts";
import { type BatchSource, drawEpochs, roomWarnings } from "../../scripts/epochs.ts";
import type { TrainFlags } from "../../scripts/train_flags.ts";

/** `shared` queries of one tile and `free` ones with a tile each. */
function source(
  { shared = 0, free, batch_size, epochs }: Record<"free" | "batch_size" | "epochs", number> & {
    shared?: number;
  },
): BatchSource {
  const json = Array.from({ length: shared + free }, (_, i) => ({
    ...{ data_root: "/d", drone_img_dir: "drone", drone_img_name: `${i}.jpg` },
    ...{ sate_img_dir: "satellite", pair_pos_sate_img_list: [`${i < shared ? "tile" : i}.png`] },
  }));
  const entries = parseEntries(JSON.stringify(json), { path: "pairs.json" });
  const flags = { batch_size, epochs, sampling: "exclusive", seed: 1, train_pairs_meta_file: "p" };
  return { entries, pairs: pairsOf(entries, "pos"), flags: flags as unknown as TrainFlags };
}

Deno.test("drawEpochs() counts the batches of a run, and what is in none", () => {
  const all = source({ free: 10, batch_size: 4, epochs: 3 });
  assert.deepEqual(drawEpochs(all), { batches: 2 + 2 + 2, missed: 0 });
  assert.deepEqual(drawEpochs(source({ free: 10, batch_size: 4, epochs: 1 })), {
    batches: 2,
    missed: 2,
  });
});

Deno.test("roomWarnings() warns where pairs share ground, and only there", () => {
  const says = (input: Parameters<typeof source>[0]) => {
    const batches = source(input);
    return roomWarnings(drawEpochs(batches), batches).join();
  };
  assert.equal(says({ free: 10, batch_size: 4, epochs: 1 }), "");
  assert.equal(says({ shared: 35, free: 165, batch_size: 8, epochs: 1 }), ""); // 16 wait
  assert.equal(says({ free: 100, batch_size: 8, epochs: 10 }), "");
  assert.equal(
    says({ shared: 41, free: 7, batch_size: 8, epochs: 3 }),
    "many pairs share ground: batches of 8 make 25 steps, 18 if all 48 pairs fitted, and 16 pairs are " +
      "in none; a smaller --batch_size trains on all of them alike",
  );
  const long = says({ shared: 27, free: 7, batch_size: 8, epochs: 10 });
  assert.match(long, /make 91 steps, 43 if .* and 0 pairs are in none/);
});
