/**
 * A device with methods of a test's own in place of its own.
 *
 * @param methods By name; they get no `this`.
 */
export function withMethods(
  device: GPUDevice,
  methods: Readonly<Record<PropertyKey, unknown>>,
): GPUDevice {
  return new Proxy(device, {
    get(target, key) {
      const value = methods[key] ?? Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
