import assert from "node:assert/strict";
import { join } from "node:path";
import { trainingSteps } from "../../scripts/doctor_gpu.ts";
import { withMethods } from "../kernels/replaced.ts";
import { GPU_OFF, gpuTest } from "../testing.ts";
import { runCommand } from "./command.ts";

/** State and rest of each line by name. */
function findings(stdout: string): Map<string, { state: string; text: string }> {
  const lines = stdout.matchAll(/^(OK|note|BAD) +(\w+) +(.+)$/gm);
  return new Map(
    [...lines].map(([, state, name, text]) => [name!, { state: state!, text: text! }]),
  );
}

const AFTER_GPU = ["memory", "decoder", "disk", "cache", "weights"];

Deno.test({
  name: "doctor finds everything that training needs on a machine that trains",
  ignore: GPU_OFF,
  fn: async () => {
    const { code, stdout, stderr } = await runCommand("doctor", ["--seconds", "0.05"]);
    assert.equal(code, 0, stdout + stderr);
    const found = findings(stdout);
    assert.deepEqual(
      [...found.keys()],
      ["adapter", "driver", "features", "limits", "speed", "training", ...AFTER_GPU],
    );
    assert.match(found.get("speed")!.text, /^[\d.e+]+ GFLOP\/s in f(16|32), [\d.e+]+ GB\/s$/);
    assert.match(found.get("training")!.text, /^two steps in f(16|32) compute right$/);
    for (const name of ["speed", "training"]) assert.equal(found.get(name)!.state, "OK");
    assert.match(stdout, /\nTraining works on this machine\n$/);
  },
});

/** Mistakes of a kernel, or of the driver that compiles it; all variants have these lines. */
const MISTAKES: [where: string, right: string, wrong: string][] = [
  ["the forward", "+ bias_at(i - start)", "+ 0.8 * bias_at(i - start)"], // layer norm
  ["the backward", "&dq, Value(SCALE)", "&dq, Value(0.5 * SCALE)"], // attention
  ["the update", "+ ONE_MINUS_BETA1 * (g", "+ 1.1 * ONE_MINUS_BETA1 * (g"],
];
for (const [where, right, wrong] of MISTAKES) {
  gpuTest(`doctor sees that ${where} computes wrong`, async (gpu) => {
    let made = 0;
    const device = withMethods(gpu.device, {
      createShaderModule({ code }: GPUShaderModuleDescriptor) {
        made += Number(code.includes(right));
        return gpu.device.createShaderModule({ code: code.replaceAll(right, wrong) });
      },
    });
    await assert.rejects(trainingSteps({ ...gpu, device, pipelines: new Map() }), {
      message:
        /^step [12] computes wrong in f(16|32): (loss|gradNorm) is [\d.]+, it must be [\d.]+$/,
    });
    assert(made > 0);
    await trainingSteps(gpu);
  });
}

Deno.test("doctor says what to install where there is no adapter, and exits with 1", async () => {
  const { code, stdout, stderr } = await runCommand("doctor", [], { DENO_WEBGPU_BACKEND: "none" });
  assert.equal(code, 1);
  assert.equal(stderr, "error: Cannot train on this machine: see adapter above\n");
  const found = findings(stdout);
  assert.deepEqual([...found.keys()], ["adapter", ...AFTER_GPU]);
  assert.equal(found.get("adapter")!.state, "BAD");
  assert.match(found.get("adapter")!.text, /^no WebGPU adapter answered, install /);
  assert.match(found.get("decoder")!.text, /^(sharp|imagescript), a 1024 x 768 JPEG in \d+ ms/);
});

Deno.test("doctor finds weights in the cache, and says how to get them", async () => {
  const cache = await Deno.makeTempDir();
  const env = { DENO_WEBGPU_BACKEND: "none", HF_HUB_CACHE: cache };
  const before = findings((await runCommand("doctor", [], env)).stdout);
  assert.deepEqual(before.get("weights"), {
    state: "note",
    text: "none in the cache: get them with the command `weights`, or give --weights FILE",
  });
  assert(before.get("cache")!.text.startsWith(cache));
  const snapshot = join(cache, "models--timm--vit_base_patch16_dinov3.lvd1689m/snapshots/0a");
  await Deno.mkdir(snapshot, { recursive: true });
  await Deno.writeTextFile(join(snapshot, "model.safetensors"), "");
  const after = findings((await runCommand("doctor", [], env)).stdout);
  assert.deepEqual(after.get("weights"), { state: "OK", text: "vit_base_patch16_dinov3.lvd1689m" });
  await Deno.remove(cache, { recursive: true });
});
