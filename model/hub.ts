/**
 * Where weights are found: a file the user names, the cache that Hugging Face's own tools keep, or
 * the hub.
 *
 * @see https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 *
 * @module
 */
import { join } from "node:path";
import { modelConfig, type ViTConfig, weightRepositories } from "./config.ts";
import { type Backbone, loadBackbone } from "./weights.ts";

const FILE = "model.safetensors";

type Variables = (name: string) => string | undefined;

/** As the XDG specification has it, a variable that is set to nothing is not set. */
const ofEnvironment: Variables = (name) => Deno.env.get(name) || undefined;

/** Folder of the user's caches. */
export function userCache(variable: Variables = ofEnvironment): string {
  const home = variable("HOME") ?? variable("USERPROFILE") ?? ".";
  return variable("XDG_CACHE_HOME") ?? join(home, ".cache");
}

/** Folder of Hugging Face's cache. */
export function hubCache(variable: Variables = ofEnvironment): string {
  const huggingFace = variable("HF_HOME") ?? join(userCache(variable), "huggingface");
  return variable("HF_HUB_CACHE") ?? join(huggingFace, "hub");
}

/** Which backbone, and how much of it. */
export interface BackboneChoice {
  /** Name for `modelConfig`. */
  model: string;
  /** The file that the user names, or null to look into the cache. */
  weights: string | null;
  /** Blocks that are used, from the first on; null for all. */
  depth: number | null;
}

/**
 * A backbone from a file of all its blocks, on this machine.
 *
 * @throws {RangeError} If there is no such model, or it has fewer blocks than are wanted.
 * @throws {Error} If its file is missing or damaged.
 */
export async function readBackbone({ model, weights, depth }: BackboneChoice): Promise<Backbone> {
  const config = modelConfig(model);
  const used = depth === null ? config : modelConfig(model, { depth });
  return { ...await loadBackbone(await backbonePath(config, weights), config), config: used };
}

/**
 * Path of a backbone's weights, on this machine.
 *
 * @param weights The file that the user names, or null to look into the cache.
 * @throws {Deno.errors.NotFound} If none is named and none is cached.
 */
export async function backbonePath(
  config: ViTConfig,
  weights: string | null,
  cache: string = hubCache(),
): Promise<string> {
  const path = weights ?? await cachedBackbone(config, cache);
  if (path !== null) return path;
  throw new Deno.errors.NotFound(
    `Cannot find weights of ${config.name}: none in ${cache}, give --weights FILE or get them ` +
      `with the command \`weights --model ${config.name}\``,
  );
}

/** Path of the newest cached file of a backbone's weights, or null. */
export async function cachedBackbone(
  config: ViTConfig,
  cache: string = hubCache(),
): Promise<string | null> {
  for (const repository of weightRepositories(config)) {
    const snapshots = join(cache, `models--${repository.replace("/", "--")}`, "snapshots");
    let newest: { path: string; time: number } | null = null;
    for (const name of await namesIn(snapshots)) {
      const path = join(snapshots, name, FILE);
      const info = await Deno.stat(path).catch(() => null); // a snapshot without the file
      const time = info?.mtime?.getTime() ?? 0;
      if (info && (newest === null || time > newest.time)) newest = { path, time };
    }
    if (newest) return newest.path;
  }
  return null;
}

/** Where and as whom to download. */
export interface HubOptions {
  /** Folder of the cache. */
  cache: string;
  /** Of an account that has agreed to the licence, where the repository asks for that. */
  token?: string | undefined;
}

/**
 * Downloads a backbone's weights into the cache.
 *
 * @returns The path of the file.
 * @throws {Error} If that fails, with how to go on by hand.
 */
export async function downloadBackbone(
  config: ViTConfig,
  { cache, token }: HubOptions,
): Promise<string> {
  const [repository] = weightRepositories(config);
  try {
    const { downloadFileToCacheDir } = await import("@huggingface/hub");
    return await downloadFileToCacheDir({
      repo: repository,
      path: FILE,
      cacheDir: cache,
      ...(token && { accessToken: token }),
    });
  } catch (cause) {
    const { message, statusCode, cause: inner } = cause as Error & { statusCode?: number };
    const reason = inner instanceof Error ? inner.message : message; // "fetch failed" says nothing
    const denied = statusCode === 401 || statusCode === 403;
    throw new Error(
      `Cannot download ${FILE} of ${repository}: ${reason}; ` +
        (denied ? "agree to the licence there and set HF_TOKEN, or " : "") +
        `get it from https://huggingface.co/${repository} by other means ` +
        "and give it as --weights FILE",
      { cause },
    );
  }
}

async function namesIn(folder: string): Promise<string[]> {
  try {
    return (await Array.fromAsync(Deno.readDir(folder))).map(({ name }) => name);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return [];
    throw error;
  }
}
