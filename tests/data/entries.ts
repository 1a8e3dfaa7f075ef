/**
 * Entries that tests of pairs files start from.
 *
 * @module
 */
import { type Entry, parseEntries, type ParseOptions } from "../../data/pairs.ts";

/** The README's example of GTA-UAV, shortened. */
export const GTA = {
  drone_img_dir: "drone/images",
  drone_img_name: "500_0001_0000025682.png",
  drone_loc_x_y: [4472.2, 9460.92],
  sate_img_dir: "satellite",
  pair_pos_sate_img_list: ["4_0_6_13.png"],
  pair_pos_sate_weight_list: [0.47],
  pair_pos_sate_loc_x_y_list: [[4492.8, 9331.2]],
  pair_pos_semipos_sate_img_list: ["4_0_6_14.png", "4_0_6_13.png"],
  pair_pos_semipos_sate_weight_list: [0.28, 0.47],
  pair_pos_semipos_sate_loc_x_y_list: [[4492.8, 10022.4], [4492.8, 9331.2]],
  drone_metadata: { height: 494.7, cam_roll: -90.27 },
};
/** Smallest entry there is. */
export const SMALL = {
  drone_img_dir: "drone",
  drone_img_name: "a.png",
  sate_img_dir: "satellite",
  pair_pos_sate_img_list: ["t.png"],
};

/** Entries of `a.json` below `/data/GTA`. */
export function parse(entries: unknown, options: Partial<ParseOptions> = {}): Entry[] {
  const text = typeof entries === "string" ? entries : JSON.stringify(entries);
  return parseEntries(text, { path: "a.json", dataRoot: "/data/GTA", ...options });
}
