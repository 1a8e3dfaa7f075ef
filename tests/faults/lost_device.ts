/**
 * Preloaded into a training process: the device is lost after a number of submits.
 *
 * @module
 */
const SUBMITS = 12;

const { requestDevice } = GPUAdapter.prototype;
GPUAdapter.prototype.requestDevice = async function (descriptor) {
  const device = await requestDevice.call(this, descriptor);
  const lost = Promise.withResolvers<unknown>();
  Object.defineProperty(device, "lost", { value: lost.promise });
  const { queue } = device;
  const submit = queue.submit.bind(queue);
  let count = 0;
  queue.submit = (buffers) => {
    submit(buffers);
    if (++count !== SUBMITS) return;
    lost.resolve({ reason: "unknown", message: "the driver was reset" });
    device.destroy();
  };
  return device;
};
