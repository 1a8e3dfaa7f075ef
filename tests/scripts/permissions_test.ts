import assert from "node:assert/strict";

Deno.test({
  name: "keepOnly() and keepReading() give nothing up under -A, which /dev/shm needs",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const module = new URL("../../scripts/permissions.ts", import.meta.url);
    const code = `
      import { keepOnly, keepReading } from "${module}";
      await keepOnly({ write: [] });
      keepReading([]);
      console.log(Deno.statSync("/dev/shm").isDirectory);
    `;
    const options = { args: ["eval", code], env: { NO_COLOR: "1" } };
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), options).output();
    assert.equal(new TextDecoder().decode(stdout), "true\n", new TextDecoder().decode(stderr));
  },
});
