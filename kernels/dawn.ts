/** npm package with Chromium's WebGPU; a variable, so that nobody downloads what nobody asks for. */
const DAWN = "npm:webgpu@0.6.2";

/** Switches of Dawn: timestamps in nanoseconds, not rounded to 0.1 ms as browsers must. */
const SWITCHES = [
  "enable-dawn-features=allow_unsafe_apis",
  "disable-dawn-features=timestamp_quantization",
];

/**
 * Opens Dawn, the WebGPU of Chromium, in place of Deno's own.
 *
 * Its compiler is Tint where Deno's is naga: a kernel that runs under both is portable. It is a
 * native addon of 100 MB that Deno fetches at the first call, which needs `--allow-ffi`.
 *
 * @returns The entry point; it must stay referenced while its devices are in use.
 * @throws {Error} If the addon cannot be fetched or loaded.
 * @see https://github.com/dawn-gpu/node-webgpu
 */
export async function openDawn(): Promise<GPU> {
  try {
    const { create } = await import(DAWN) as { create(switches: string[]): GPU };
    return create(SWITCHES);
  } catch (cause) {
    throw new Error(`Cannot open a GPU through Dawn: ${(cause as Error).message}`, { cause });
  }
}
