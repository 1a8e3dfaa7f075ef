import assert from "node:assert/strict";
import {
  allocate,
  byteSize,
  checkGpu,
  closeGpu,
  createTensor,
  destroyTensor,
  type DType,
  type Gpu,
  type HostArray,
  openGpu,
  readTensor,
  readyOrFreed,
  settleGpu,
  stagingSize,
  uploadTensor,
  viewTensor,
  writeTensor,
} from "../../kernels/gpu.ts";
import { denoOptions, GPU_OFF, gpuTest } from "../testing.ts";
import { leftBy } from "./made.ts";

// Below, at and past the 4 bytes of a copy and the 16 of a vec4.
const COUNTS = [1, 2, 3, 4, 5, 7, 16, 17, 1023];

// Exact in the type: its largest and smallest values, the sign of zero, a fraction.
const EXACT: Record<DType, { values: number[]; make: (values: number[]) => HostArray }> = {
  f32: {
    values: [1 / 3, -0, 3.4028234663852886e38, 1.401298464324817e-45, -1e10, Infinity],
    make: (values) => Float32Array.from(values),
  },
  f16: {
    values: [0.333251953125, -0, 65504, 5.960464477539063e-8, -1025, Infinity],
    make: (values) => Float16Array.from(values),
  },
  u32: { values: [0, 1, 255, 256, 65536, 2 ** 24], make: (values) => Uint32Array.from(values) },
  u8: { values: [0, 1, 127, 128, 254, 255], make: (values) => Uint8Array.from(values) },
};

for (const [dtype, { values, make }] of Object.entries(EXACT)) {
  gpuTest(`readTensor() returns what uploadTensor() wrote as ${dtype}`, async (gpu) => {
    for (const count of COUNTS) {
      const wanted = Array.from({ length: count }, (_, i) => Math.fround(values[i % 6]!));
      const tensor = uploadTensor(gpu, make(wanted), [count], dtype as DType);
      assert.deepEqual([...await readTensor(gpu, tensor)], wanted, `${count} values`);
    }
  });
}

gpuTest("writeTensor() rounds f32 values for an f16 tensor", async (gpu) => {
  const tensor = uploadTensor(gpu, Float32Array.of(1 / 3, 1e-9, 70000), [3], "f16");
  assert.deepEqual([...await readTensor(gpu, tensor)], [0.333251953125, 0, Infinity]);
});

gpuTest("writeTensor() changes the start of a tensor or view, in words of 4 bytes", async (gpu) => {
  const ones = (count: number) => new Uint8Array(count).fill(1);
  for (const start of [0, 256]) {
    for (const count of [0, 1, 3, 4, 5, 6]) {
      const whole = uploadTensor(gpu, ones(start + 12), [start + 12], "u8");
      const bytes = viewTensor(gpu, whole, { start, shape: [12] });
      writeTensor(gpu, bytes, new Uint8Array(count).fill(9));
      const word = Math.ceil(count / 4) * 4;
      const wanted = [...Array(count).fill(9), ...Array(word - count).fill(0), ...ones(12 - word)];
      const found = [...await readTensor(gpu, whole)];
      assert.deepEqual(found, [...ones(start), ...wanted], `${count} values from ${start}`);
    }
  }
});

gpuTest("writeTensor() takes a host array that is a part of another", async (gpu) => {
  const tensor = createTensor(gpu, [3], "u8");
  writeTensor(gpu, tensor, Uint8Array.of(1, 2, 3, 4, 5, 6, 7).subarray(3, 6));
  assert.deepEqual([...await readTensor(gpu, tensor)], [4, 5, 6]);
});

gpuTest("writeTensor() to a view leaves the rest alone", async (gpu) => {
  for (const [dtype, start] of [["f32", 64], ["f16", 128], ["u32", 64], ["u8", 256]] as const) {
    const { make } = EXACT[dtype];
    const whole = uploadTensor(gpu, make(Array(start + 8).fill(1)), [start + 8], dtype);
    const view = viewTensor(gpu, whole, { start, shape: [2, 2] });
    writeTensor(gpu, view, make([2, 3, 4, 5]));
    const found = [...await readTensor(gpu, whole)];
    assert.deepEqual(found, [...Array(start).fill(1), 2, 3, 4, 5, 1, 1, 1, 1], dtype);
    assert.deepEqual([...await readTensor(gpu, view)], [2, 3, 4, 5], dtype);
  }
});

gpuTest("writeTensor() refuses more values than the tensor holds", async (gpu) => {
  const whole = createTensor(gpu, [68]);
  const view = viewTensor(gpu, whole, { start: 64, shape: [3] });
  assert.throws(
    () => writeTensor(gpu, whole, new Float32Array(69)),
    new RangeError("Cannot write 69 values to (68): it holds 68"),
  );
  assert.throws(
    () => writeTensor(gpu, view, new Float32Array(4).fill(1)), // the tensor goes on, the view not
    new RangeError("Cannot write 4 values to (3): it holds 3"),
  );
  assert.deepEqual(await readTensor(gpu, whole), new Float32Array(68));
});

gpuTest("writeTensor() refuses an array of another type", (gpu) => {
  const arrays: HostArray[] = Object.values(EXACT).map(({ make }) => make([1]));
  for (const [dtype, { make }] of Object.entries(EXACT)) {
    const tensor = createTensor(gpu, [1], dtype as DType);
    for (const array of arrays) {
      const isRight = array.constructor === make([]).constructor;
      if (isRight || (dtype === "f16" && array instanceof Float32Array)) continue;
      assert.throws(
        () => writeTensor(gpu, tensor, array),
        new TypeError(`Cannot write ${array.constructor.name} to a ${dtype} tensor`),
      );
    }
  }
  return Promise.resolve();
});

gpuTest("uploadTensor() refuses values of another type, and leaves nothing", (gpu) => {
  const { current } = gpu.memory;
  assert.throws(
    () => uploadTensor(gpu, new Uint32Array(4), [4], "f32"),
    new TypeError("Cannot write Uint32Array to a f32 tensor"),
  );
  assert.equal(gpu.memory.current, current);
  return Promise.resolve();
});

gpuTest("uploadTensor() refuses a shape of another size", (gpu) => {
  assert.throws(
    () => uploadTensor(gpu, new Float32Array(5), [2, 3]),
    new RangeError("Cannot upload 5 values as (2,3): the shape holds 6"),
  );
  assert.equal(gpu.memory.current, 0);
  return Promise.resolve();
});

gpuTest("viewTensor() refuses what cannot be bound", (gpu) => {
  const whole = createTensor(gpu, [4, 64]);
  const view = (start: number, shape: number[]) => () => viewTensor(gpu, whole, { start, shape });
  for (const start of [1, 32, 63, 64.5, -64, NaN]) assert.throws(view(start, [4]), RangeError);
  assert.throws(
    view(192, [5, 13]),
    new RangeError(
      "Cannot view (5,13) from element 192 of (4,64): it ends at element 257 and starts at " +
        "byte 768, which must be a multiple of 256",
    ),
  );
  assert.throws(view(0, [NaN]), RangeError);
  assert.equal(view(192, [64])().offset, 768);
  return Promise.resolve();
});

gpuTest("viewTensor() of a view counts from its start", async (gpu) => {
  const whole = uploadTensor(gpu, Float32Array.from({ length: 256 }, (_, i) => i), [256]);
  const half = viewTensor(gpu, whole, { start: 128, shape: [128] });
  const last = viewTensor(gpu, half, { start: 64, shape: [2] });
  assert.deepEqual([...await readTensor(gpu, last)], [192, 193]);
  assert.throws(() => viewTensor(gpu, half, { start: 64, shape: [65] }), RangeError);
});

gpuTest("createTensor() makes zeros and counts their bytes", async (gpu) => {
  const sizes: [shape: number[], dtype: DType, bytes: number][] = [
    [[1], "u8", 16],
    [[17], "u8", 32],
    [[3, 3], "f16", 32],
    [[4], "f32", 16],
    [[5], "u32", 32],
    [[], "f32", 16],
  ];
  const tensors = [];
  let total = 0;
  for (const [shape, dtype, bytes] of sizes) {
    const tensor = createTensor(gpu, shape, dtype);
    tensors.push(tensor);
    assert.equal(tensor.buffer.size, bytes, `(${shape}) ${dtype}`);
    assert.equal(gpu.memory.current, total += bytes);
    assert((await readTensor(gpu, tensor)).every((value) => value === 0));
  }
  for (const tensor of tensors.reverse()) destroyTensor(gpu, tensor);
  assert.deepEqual(gpu.memory, { current: 0, peak: total, textures: 0 });
  destroyTensor(gpu, createTensor(gpu, [8]));
  assert.deepEqual(gpu.memory, { current: 0, peak: total, textures: 0 });
  destroyTensor(gpu, createTensor(gpu, [total]));
  assert.deepEqual(gpu.memory, { current: 0, peak: 4 * total, textures: 0 });
});

gpuTest("createTensor() refuses more than the adapter binds", (gpu) => {
  const { maxStorageBufferBindingSize: most } = gpu.device.limits;
  assert.throws(
    () => createTensor(gpu, [1, most / 4 + 1]),
    (error) => error instanceof RangeError && error.message.endsWith(` binds at most ${most}`),
  );
  assert.throws(() => createTensor(gpu, [NaN]), RangeError);
  assert.equal(gpu.memory.current, 0);
  return Promise.resolve();
});

Deno.test("stagingSize() and byteSize() count elements and words", () => {
  assert.equal(byteSize({ shape: [3, 5], dtype: "f16" }), 30);
  assert.equal(byteSize({ shape: [], dtype: "u32" }), 4);
  for (const [count, bytes] of [[1, 4], [4, 4], [5, 8]]) {
    const tensor = { buffer: null as unknown as GPUBuffer, offset: 0 };
    assert.equal(stagingSize({ ...tensor, shape: [count!], dtype: "u8" }), bytes);
  }
});

gpuTest("an error that nobody caught is thrown by the next call", async (gpu) => {
  checkGpu(gpu);
  const tensor = createTensor(gpu, [4]);
  gpu.device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
  await assert.rejects(readTensor(gpu, tensor), /^Error: GPU error: /);
  const first = gpu.failure;
  gpu.device.createBuffer({ size: 16, usage: 0 });
  await assert.rejects(readTensor(gpu, tensor), (error) => error === first);
  assert.throws(() => checkGpu(gpu), (error) => error === first);
});

gpuTest("readTensor() frees its staging memory, also when it fails", async (gpu) => {
  const tensor = createTensor(gpu, [4]);
  assert.deepEqual(await leftBy(gpu, () => createTensor(gpu, [4])), ["Buffer"]);
  assert.deepEqual(await leftBy(gpu, () => readTensor(gpu, tensor)), []);
  gpu.failure = new Error("GPU lost: unplugged");
  const failing = () => assert.rejects(readTensor(gpu, tensor), /unplugged/);
  assert.deepEqual(await leftBy(gpu, failing), []);
});

gpuTest(
  "readTensor() throws that the device was lost, not what it could not do then",
  async (gpu) => {
    const { createBuffer } = gpu.device;
    gpu.device.createBuffer = (descriptor) => {
      const staging = createBuffer.call(gpu.device, descriptor);
      // As Deno: the promise of the loss is kept in a later task.
      staging.mapAsync = () => {
        setTimeout(() => gpu.failure = new Error("GPU lost: unplugged"));
        return Promise.reject(new Error("validation error occurred"));
      };
      return staging;
    };
    const tensor = createTensor(gpu, [4]);
    await assert.rejects(readTensor(gpu, tensor), new Error("GPU lost: unplugged"));
  },
);

Deno.test({
  name: "openGpu() does without subgroups when told to, and closing is no failure",
  ignore: GPU_OFF,
  fn: async () => {
    const gpu = await openGpu({ subgroups: false });
    assert.equal(gpu.subgroupMinSize, 0);
    closeGpu(gpu);
    await gpu.device.lost;
    checkGpu(gpu);
  },
});

/** Opens the adapter as if it described itself so. */
async function openAs(said: Partial<GPUAdapterInfo>): Promise<Gpu> {
  const { requestAdapter } = navigator.gpu;
  navigator.gpu.requestAdapter = async (options) => {
    const real = await requestAdapter.call(navigator.gpu, options);
    const { features, limits } = real!;
    const { description, device, vendor, isFallbackAdapter } = real!.info;
    return {
      ...{ features, limits, info: { description, device, vendor, isFallbackAdapter, ...said } },
      requestDevice: (descriptor: GPUDeviceDescriptor) => real!.requestDevice(descriptor),
    } as unknown as GPUAdapter;
  };
  try {
    return await openGpu({ host: "deno" });
  } finally {
    navigator.gpu.requestAdapter = requestAdapter;
  }
}

Deno.test({
  name: "openGpu() takes subgroups of any size, and knows the fewest lanes",
  ignore: GPU_OFF,
  fn: async () => {
    for (const [subgroupMinSize, subgroupMaxSize] of [[0, 0], [32, 64], [8, 32]] as const) {
      const gpu = await openAs({ subgroupMinSize, subgroupMaxSize });
      assert.equal(gpu.subgroupMinSize, subgroupMinSize);
      assert.equal(gpu.hasMatrix, false);
      closeGpu(gpu);
    }
  },
});

Deno.test({
  name: "openGpu() knows whose GPUs have many registers",
  ignore: GPU_OFF,
  fn: async () => {
    const many = [
      { vendor: "4318", description: "NVIDIA H200" },
      { vendor: "4098", description: "Radeon RX 7900 XT (RADV NAVI31)" },
      { vendor: "nvidia", description: "" }, // Dawn
      { vendor: "0", description: "AMD Radeon Pro 5500M" }, // Metal
    ];
    const few = [
      { vendor: "32902", description: "Intel(R) Arc(tm) A770M Graphics (DG2)" },
      { vendor: "0", description: "Apple M1" },
      { vendor: "", description: "Lamda" },
    ];
    for (const [infos, wanted] of [[many, true], [few, false]] as const) {
      for (const info of infos) {
        const gpu = await openAs(info);
        assert.equal(gpu.hasManyRegisters, wanted, info.description);
        closeGpu(gpu);
      }
    }
  },
});

Deno.test("openGpu() refuses an adapter that binds fewer buffers than a product needs", async () => {
  const { requestAdapter } = navigator.gpu;
  const limits = { maxStorageBuffersPerShaderStage: 8 };
  const adapter = { info: { description: "small" }, limits } as unknown as GPUAdapter;
  navigator.gpu.requestAdapter = () => Promise.resolve(adapter);
  try {
    await assert.rejects(openGpu({ host: "deno" }), {
      message: 'Cannot use adapter "small": its kernels bind at most 8 buffers, ours up to 9',
    });
  } finally {
    navigator.gpu.requestAdapter = requestAdapter;
  }
});

/** Opens a GPU in a process of its own; prints what becomes of it, and then `print`, an expression. */
async function openElsewhere(env: Record<string, string>, print = "") {
  const url = new URL("../../kernels/gpu.ts", import.meta.url);
  const code = `import { openGpu } from ${JSON.stringify(url)};
    const gpu = await openGpu().catch((error) => console.log(error.message));
    if (gpu) console.log("opened"${print && `, ${print}`});
    const maps = Deno.build.os === "linux" ? Deno.readTextFileSync("/proc/self/maps") : "";
    // On a software adapter: NVIDIA's Vulkan driver loads it by itself.
    if (gpu?.isCpu && maps.includes("libEGL")) console.log("with OpenGL");`;
  // Without what this process has set itself.
  const inherited = Deno.env.toObject();
  for (const set of ["DENO_WEBGPU_BACKEND", "XDG_RUNTIME_DIR", "LP_NUM_THREADS"]) {
    delete inherited[set];
  }
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["eval", code],
    clearEnv: true,
    env: { ...inherited, GPU: "", ...env },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes).trim();
  return { stdout: text(stdout), stderr: text(stderr) };
}

Deno.test("openGpu() says what to install when no adapter answers", async () => {
  const { stdout, stderr } = await openElsewhere({ DENO_WEBGPU_BACKEND: "none" });
  assert.equal(
    stdout,
    "Cannot open a GPU: no WebGPU adapter answered, install a Vulkan driver " +
      "(mesa-vulkan-drivers for a CPU adapter) and check it with `vulkaninfo --summary`",
  );
  assert.equal(stderr, "");
});

Deno.test("openGpu() says that Dawn asks for more where it finds no adapter", async () => {
  const { stdout } = await openElsewhere({ GPU: "dawn", VK_ICD_FILENAMES: "/nowhere.json" });
  assert.match(
    stdout,
    /^Cannot open a GPU: no adapter is good enough for Dawn, .*leave --gpu dawn/,
  );
});

Deno.test({
  name: "openGpu() prints nothing, and leaves OpenGL out",
  ignore: GPU_OFF,
  fn: async () => assert.deepEqual(await openElsewhere({}), { stdout: "opened", stderr: "" }),
});

Deno.test({
  ...denoOptions({
    name: "openGpu() has Mesa's CPU adapter share work among four threads a core",
    needs: ["llvmpipe"],
  }),
  fn: async () => {
    const threads = `Array.from(Deno.readDirSync("/proc/self/task"), ({ name }) =>
      Deno.readTextFileSync("/proc/self/task/" + name + "/comm")
    ).filter((name) => name.startsWith("llvmpipe-")).length`;
    const wanted = Math.min(16, 4 * navigator.hardwareConcurrency); // 16 are Mesa's most, or 32
    const opened = Number((await openElsewhere({}, threads)).stdout.replace("opened ", ""));
    assert.ok(opened >= wanted, `${opened} threads, wanted ${wanted}`);
    const { stdout } = await openElsewhere({ LP_NUM_THREADS: "3" }, threads);
    assert.equal(stdout, "opened 3", "the user's number is kept");
  },
});

gpuTest("allocate() frees what was made when building fails, and nothing else", async (gpu) => {
  const before = createTensor(gpu, [8]);
  const { current } = gpu.memory;
  const kept = allocate(gpu, () => createTensor(gpu, [8]));
  assert.equal(gpu.memory.current, current + 32);
  assert.throws(() =>
    allocate(gpu, () => {
      destroyTensor(gpu, createTensor(gpu, [16])); // is not freed twice
      destroyTensor(gpu, kept);
      allocate(gpu, () => createTensor(gpu, [32]));
      throw new RangeError("no");
    }), new RangeError("no"));
  assert.equal(gpu.memory.current, current);
  writeTensor(gpu, before, new Float32Array(8)); // is still there
  await settleGpu(gpu);
});

Deno.test("readyOrFreed() frees what cannot be made ready", async () => {
  let freed = 0;
  const made = (ready: Promise<void>) => ({ ready: () => ready, destroy: () => void freed++ });
  const good = made(Promise.resolve());
  assert.equal(await readyOrFreed(good), good);
  assert.equal(freed, 0);
  await assert.rejects(readyOrFreed(made(Promise.reject(new SyntaxError("bad")))), /bad/);
  assert.equal(freed, 1);
});
