/**
 * Preloaded into a training process: the device has 8 MiB, beyond which it refuses buffers.
 *
 * @module
 */
const MEMORY = 2 ** 23;

const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (descriptor) {
  const device = await requestDevice.call(this, descriptor);
  const createBuffer = device.createBuffer.bind(device);
  let used = 0;
  device.createBuffer = (options) => {
    used += options.size;
    if (used <= MEMORY) return createBuffer(options);
    const error = new GPUOutOfMemoryError("Not enough memory left");
    device.dispatchEvent(new GPUUncapturedErrorEvent("uncapturederror", { error }));
    return createBuffer({ ...options, size: 2 ** 40 }); // more than there may be: invalid
  };
  return device;
};
