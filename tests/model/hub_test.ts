import assert from "node:assert/strict";
import { join } from "node:path";
import { modelConfig } from "../../model/config.ts";
import {
  backbonePath,
  cachedBackbone,
  downloadBackbone,
  hubCache,
  readBackbone,
} from "../../model/hub.ts";

const config = modelConfig("vitl16.sat493m");
const timm = "models--timm--vit_large_patch16_dinov3.sat493m";
const meta = "models--facebook--dinov3-vitl16-pretrain-sat493m";

/** Registers a test with an empty folder for a cache. */
function cacheTest(name: string, fn: (cache: string) => Promise<void>): void {
  Deno.test(name, async () => {
    const cache = await Deno.makeTempDir();
    try {
      await fn(cache);
    } finally {
      await Deno.remove(cache, { recursive: true });
    }
  });
}

/** Puts a file into the cache, dated `age` seconds ago. */
async function put(cache: string, repository: string, snapshot: string, age = 0): Promise<string> {
  const folder = join(cache, repository, "snapshots", snapshot);
  await Deno.mkdir(folder, { recursive: true });
  const path = join(folder, "model.safetensors");
  await Deno.writeTextFile(path, "");
  const time = new Date(Date.now() - 1000 * age);
  await Deno.utime(path, time, time);
  return path;
}

Deno.test("hubCache() follows Hugging Face's variables in their order", () => {
  const all: Record<string, string> = {
    HF_HUB_CACHE: "/hub",
    HF_HOME: "/hf",
    XDG_CACHE_HOME: "/xdg",
    HOME: "/home/me",
  };
  const expected = {
    HF_HUB_CACHE: "/hub",
    HF_HOME: join("/hf", "hub"),
    XDG_CACHE_HOME: join("/xdg", "huggingface", "hub"),
    HOME: join("/home/me", ".cache", "huggingface", "hub"),
  };
  for (const [name, path] of Object.entries(expected)) {
    assert.equal(hubCache((variable) => all[variable]), path);
    delete all[name];
  }
});

Deno.test("hubCache() takes a variable that is set to nothing as not set", () => {
  const before = Deno.env.get("HF_HUB_CACHE");
  Deno.env.delete("HF_HUB_CACHE");
  const expected = hubCache();
  Deno.env.set("HF_HUB_CACHE", "");
  try {
    assert.equal(hubCache(), expected);
  } finally {
    if (before === undefined) Deno.env.delete("HF_HUB_CACHE");
    else Deno.env.set("HF_HUB_CACHE", before);
  }
});

cacheTest("cachedBackbone() prefers timm's file, then the newest", async (cache) => {
  assert.equal(await cachedBackbone(config, cache), null);
  const fromMeta = await put(cache, meta, "a");
  await Deno.mkdir(join(cache, timm, "snapshots", "empty"), { recursive: true });
  assert.equal(await cachedBackbone(config, cache), fromMeta);
  await put(cache, timm, "a", 20);
  const newest = await put(cache, timm, "b", 10);
  await put(cache, timm, "c", 30);
  assert.equal(await cachedBackbone(config, cache), newest);
  assert.equal(await cachedBackbone(modelConfig("vitl16"), cache), null);
});

cacheTest(
  "backbonePath() takes the named file, else the cache, else says what to do",
  async (cache) => {
    await assert.rejects(backbonePath(config, null, cache), {
      name: "NotFound",
      message: `Cannot find weights of vit_large_patch16_dinov3.sat493m: none in ${cache}, give ` +
        "--weights FILE or get them with the command `weights --model " +
        "vit_large_patch16_dinov3.sat493m`",
    });
    const cached = await put(cache, timm, "a");
    assert.equal(await backbonePath(config, null, cache), cached);
    assert.equal(await backbonePath(config, "mine.safetensors", cache), "mine.safetensors");
  },
);

/** Runs with `fetch` replaced. */
async function withFetch(
  answer: (url: string, init: RequestInit) => Response | Error,
  fn: () => Promise<void>,
): Promise<void> {
  const real = globalThis.fetch;
  globalThis.fetch = (input, init) => {
    const result = answer(input instanceof Request ? input.url : `${input}`, init ?? {});
    return result instanceof Error ? Promise.reject(result) : Promise.resolve(result);
  };
  try {
    await fn();
  } finally {
    globalThis.fetch = real;
  }
}

Deno.test("readBackbone() refuses a model or depth that there is not, before it reads", async () => {
  const read = (model: string, depth: number | null) =>
    readBackbone({ model, weights: "none.safetensors", depth });
  await assert.rejects(read("vit_tiny", null), /^RangeError: Cannot use model "vit_tiny": /);
  await assert.rejects(read("vits16", 13), /^RangeError: .*first 13 blocks .*expected 1 to 12$/);
  await assert.rejects(read("vits16", 2), /none\.safetensors/);
});

cacheTest("downloadBackbone() puts the file where cachedBackbone() finds it", async (cache) => {
  const requests: string[] = [];
  const answer = (url: string, { headers }: RequestInit) => {
    requests.push(url);
    assert.equal(new Headers(headers).get("authorization"), "Bearer hf_secret");
    if (!url.includes("/paths-info/")) {
      return new Response("weights!", { headers: { "content-range": "bytes 0-7/8", etag: '"x"' } });
    }
    const lfs = { oid: "cd".repeat(32), size: 8, pointerSize: 134 };
    const lastCommit = { id: "ef".repeat(20), title: "", date: "2025-01-01T00:00:00Z" };
    const info = { type: "file", path: "model.safetensors", size: 8, oid: "ab", lfs, lastCommit };
    return Response.json([info]);
  };
  await withFetch(answer, async () => {
    const path = await downloadBackbone(config, { cache, token: "hf_secret" });
    assert.equal(await Deno.readTextFile(path), "weights!");
    assert.equal(await cachedBackbone(config, cache), path);
  });
  assert.ok(requests.length > 0);
  for (const url of requests) {
    assert.match(url, /^https:\/\/huggingface\.co\/.*timm\/vit_large_patch16_dinov3\.sat493m\//);
  }
});

cacheTest("downloadBackbone() says what failed and what to do", async (cache) => {
  const byHand = "get it from https://huggingface.co/timm/vit_large_patch16_dinov3.sat493m by " +
    "other means and give it as --weights FILE";
  const start = "Cannot download model.safetensors of timm/vit_large_patch16_dinov3.sat493m: ";
  const offline = new TypeError("fetch failed", { cause: new Error("no such host") });
  await withFetch(() => offline, async () => {
    await assert.rejects(downloadBackbone(config, { cache }), {
      message: `${start}no such host; ${byHand}`,
    });
  });
  await withFetch(() => Response.json({ error: "gated" }, { status: 403 }), async () => {
    await assert.rejects(downloadBackbone(config, { cache }), ({ message }: Error) => {
      assert.ok(message.startsWith(`${start}gated`), message);
      return message.endsWith(`; agree to the licence there and set HF_TOKEN, or ${byHand}`);
    });
  });
});
