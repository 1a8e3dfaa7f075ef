/** A variable, so that Deno fetches the package when it is asked for and not before. */
const DAWN = "npm:webgpu@0.6.2";

/** Timestamps in nanoseconds, where browsers must round them to 0.1 ms. */
const EXACT_TIME = "disable-dawn-features=timestamp_quantization";

/**
 * Shows features that are still experiments: an adapter's matrix units are one. f16 on NVIDIA's
 * Vulkan is another, and without it there are no matrix units: Dawn holds it back for tests of its
 * own that fail (crbug.com/42251215). Those of these kernels in f16 passed on an H200.
 */
const EXPERIMENTS = "enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia";

/** Fetches and loads the addon, without opening anything: permissions can be given up after it. */
export async function loadDawn(): Promise<{ create(switches: string[]): GPU }> {
  return await import(DAWN);
}

/**
 * Opens Dawn, the WebGPU of Chromium, in place of Deno's own.
 *
 * Its compiler is Tint where Deno's is naga: a kernel that runs under both is portable. It is a
 * native addon of 100 MB that Deno fetches at the first call, which needs `--allow-ffi`.
 *
 * @param options `isNull`: take the adapter that has every feature and runs nothing.
 * @returns The entry point; it must stay referenced while its devices are in use.
 * @throws {Error} If the addon cannot be fetched or loaded.
 * @see https://github.com/dawn-gpu/node-webgpu
 */
export async function openDawn({ isNull }: { isNull: boolean }): Promise<GPU> {
  try {
    const { create } = await loadDawn();
    return create([EXACT_TIME, EXPERIMENTS, ...(isNull ? ["backend=null"] : [])]);
  } catch (cause) {
    throw new Error(`Cannot open a GPU through Dawn: ${(cause as Error).message}`, { cause });
  }
}
