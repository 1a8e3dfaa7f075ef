/**
 * A GPU that fails while a run trains, or before it does.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { GPU_OFF } from "../testing.ts";
import { loadCheckpoint } from "../../model/checkpoint.ts";
import { faultFlags, namesIn, runsOf, startTraining, theRun, train, withWorld } from "./runs.ts";

/** The last line of a command that failed. */
function errorOf(stderr: string): string {
  const errors = stderr.split("\n").filter((line) => line.startsWith("error: "));
  assert.equal(errors.length, 1, stderr);
  return errors[0]!;
}

Deno.test({
  name: "train says what to do when the GPU fails",
  ignore: GPU_OFF,
  fn: (t) =>
    withWorld(async (folder) => {
      const path = (name: string) => join(folder, name);
      const fail = async (name: string, args: string[], preload: string[] = []) => {
        const flags = [...faultFlags(folder, path(name)), "--epochs", "1", ...args];
        const { code, stderr } = await startTraining(flags, { preload }).ended;
        assert.equal(code, 1, stderr);
        return errorOf(stderr);
      };

      await t.step("a lost device: what happened and how to go on", async () => {
        const error = await fail("lost", [], ["lost_device.ts"]);
        const run = theRun(path("lost"));
        const [, saved] = /; saved after (\d+) steps/.exec(error)!;
        assert.equal(
          error,
          `error: GPU lost: the driver was reset; saved after ${saved} steps, ` +
            `go on with: deno task train --resume ${run}`,
        );
        const log = await Deno.readTextFile(join(run, "log.txt"));
        assert.match(log, /^error: GPU lost: the driver was reset$/m);
        await train(["--resume", run]);
      });

      await t.step("too little memory: the need, and flags that lower it", async () => {
        const error = await fail("memory", [], ["full_device.ts"]);
        assert.match(
          error,
          /^error: GPU error: Not enough memory left; training needs (\d+) MiB of GPU memory, (\d+) MiB with --grad_checkpointing, (\d+) MiB with --micro_batch 2, /,
        );
        assert.deepEqual(runsOf(path("memory")), []);
      });

      await t.step("a tensor that is too large: the same", async () => {
        const error = await fail("large", ["--mlp_hidden", "88000"]);
        assert.match(
          error,
          /^error: Cannot allocate a .*; training needs \d+ MiB of GPU memory, \d+ MiB with --grad_checkpointing, .*, less with a smaller --batch_size/,
        );
      });

      await t.step(
        "a loss that is not finite: the step, the gradient and the entries",
        async () => {
          const error = await fail("diverged", ["--lr", "1e30", "--clip_grad", "0"]);
          const [, step, gradient] =
            /^error: Cannot go on after step (\d+): loss \S+, \d+ steps in a row without finite gradients, largest gradient (\S+) in (blocks\.0|head|logit_scale)\S*; start a new run with a lower --lr, /
              .exec(error)!;
          assert(!Number.isFinite(Number(gradient)), gradient);
          const run = theRun(path("diverged"));
          const [, end = ""] = error.split(
            "; start a new run with a lower --lr, or see the entries of the batch in ",
          );
          const older =
            /; last\/ is from after \d+ steps, last\.old\/ from the save before: move last\/ away to resume that$/; // no --resume
          assert.equal(end.replace(older, ""), join(run, "log.txt"));
          assert.match(end, older);
          const log = await Deno.readTextFile(join(run, "log.txt"));
          assert.match(log, new RegExp(`^step ${step} trained on entries \\d+(, \\d+){3}$`, "m"));
        },
      );

      await t.step("parameters that are not finite in the last step: none is saved", async () => {
        const flags = ["--lr", "1e39", "--warmup_epochs", "0", "--max_steps", "1"];
        const error = await fail("infinite", flags);
        assert.match(
          error,
          /^error: Cannot store tensor ".*": value \d+ is \S+, expected a finite number; saved after 0 steps, /,
        );
        const run = theRun(path("infinite"));
        assert(!namesIn(run).includes("final"));
        assert.equal((await loadCheckpoint(join(run, "last"))).progress.step, 0);
      });
    }),
});
