/**
 * Gives up permissions as `train` does, then shows what its workers can still do.
 *
 *     restricted.ts FOLDER    of pictures
 *
 * @module
 */
import { join } from "node:path";
import { openDecodePool } from "../../data/decode_pool.ts";
import { keepOnly, keepReading } from "../../scripts/permissions.ts";

const folder = Deno.args[0]!;
await keepOnly({ write: [join(folder, "runs")], pictures: true });
keepReading([folder]);

const worker = new Worker(new URL("attempts.ts", import.meta.url), { type: "module" });
const attempts = await new Promise((resolve) => worker.onmessage = ({ data }) => resolve(data));
worker.terminate();
console.error(`attempts: ${JSON.stringify(attempts)}`);

const pool = openDecodePool({ numWorkers: 1, settings: null });
const decoded = await pool.run({ path: join(folder, "picture.webp"), size: 16, sample: null });
await pool.close();
console.error(`decoded: ${Object.keys(decoded)}`);
