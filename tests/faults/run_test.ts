/**
 * Runs that are killed, stopped, damaged or short of room, then resumed: they must end as one that
 * was left alone.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { loadCheckpoint } from "../../model/checkpoint.ts";
import { tinyFlags } from "../scripts/tiny_world.ts";
import { GPU_OFF } from "../testing.ts";
import {
  faultFlags,
  LONG,
  runsOf,
  startTraining,
  theRun,
  type Traces,
  tracesOf,
  train,
  type Training,
  withWorld,
} from "./runs.ts";

const KILLS = LONG ? 25 : 3;

/** A world, and what a run leaves in it that nobody disturbed. */
interface World {
  folder: string;
  wanted: Traces;
  /** Time from its start to the first step, and from there to the end. */
  ms: { start: number; rest: number };
}

/** Standard error has this when all is on the GPU, and training begins. */
const READY = "trained: ";

async function undisturbed(folder: string): Promise<World> {
  const times = [performance.now()];
  const training = startTraining(faultFlags(folder, join(folder, "undisturbed")));
  for (const event of [training.said(READY), training.ended]) {
    await event;
    times.push(performance.now());
  }
  const ms = { start: times[1]! - times[0]!, rest: times[2]! - times[1]! };
  const wanted = await tracesOf(theRun(join(folder, "undisturbed")));
  assert.equal(wanted.metrics.length, 18 + 2);
  assert.deepEqual(
    wanted.names.filter((name) => !name.startsWith("best_")),
    ["config.json", "final", "last", "last.old", "log.txt", "metrics.jsonl", "report.html"],
  );
  return { folder, wanted, ms };
}

/** Kills a process: one in five while it starts, where nothing much can go wrong, or else later. */
async function killAtRandom(training: Training, ms: World["ms"]): Promise<void> {
  const isEarly = Math.random() < 0.2;
  if (!isEarly) await training.said(READY);
  await delay(Math.random() * (isEarly ? ms.start : ms.rest));
  if (training.isAlive) training.process.kill("SIGKILL");
}

/** Kills a run again and again until it ends; returns how often, and how often too early. */
async function killOften(
  { folder, wanted, ms }: World,
  { modelPath, most }: { modelPath: string; most: number },
): Promise<{ kills: number; early: number }> {
  let kills = 0;
  let early = 0;
  for (;;) {
    const isResumed = runsOf(modelPath).length > 0;
    const flags = faultFlags(folder, modelPath);
    const training = startTraining(isResumed ? [...flags, "--resume"] : flags);
    if (kills < most) void killAtRandom(training, ms);
    const { code, signal, stderr } = await training.ended;
    if (signal === null) {
      assert.equal(code, 0, stderr);
      assert.deepEqual(await tracesOf(theRun(modelPath)), wanted);
      return { kills, early };
    }
    kills++;
    if (runsOf(modelPath).length === 0) early++;
  }
}

/** Stops a run when it has said some words; returns its folder. */
async function stop(
  { folder }: World,
  { signal, code, words }: { signal: "SIGINT" | "SIGTERM"; code: number; words: string },
): Promise<string> {
  const modelPath = join(folder, signal);
  const training = startTraining(faultFlags(folder, modelPath));
  await training.said(words);
  training.process.kill(signal);
  const ended = await training.ended;
  assert.equal(ended.code, code, ended.stderr);
  const run = theRun(modelPath);
  const [, taken, saved] =
    /^error: Stopped after (\d+) steps; saved after (\d+) steps, go on with: /m.exec(ended.stderr)!;
  assert.equal(taken, saved);
  assert(ended.stderr.endsWith(`train --resume ${run}\n`), ended.stderr);
  return run;
}

/** Cuts a file of the newest checkpoint short, and resumes the newest run. */
async function resumeDamaged(run: string, wanted: Traces): Promise<void> {
  const path = join(run, "last", "adapter_model.safetensors");
  await Deno.truncate(path, 1000);
  const stderr = await train(["--resume", "--model_path", join(run, "../..")]);
  const line = `warning: Cannot load ${path}: it has 1000 bytes`;
  assert(stderr.split("\n").some((each) => each.startsWith(line)), stderr);
  await Deno.remove(join(run, "last.damaged"), { recursive: true });
  assert.deepEqual(await tracesOf(run), wanted);
}

/** Mounts a file system of 8 MB in memory; null where that is not permitted. */
async function mountSmallDisk(folder: string): Promise<{ unmount(): Promise<void> } | null> {
  await Deno.mkdir(folder);
  const run = async (command: string, args: string[]) => {
    const options = { args, stdout: "null", stderr: "null" } as const;
    return (await new Deno.Command(command, options).output()).success;
  };
  const isMounted = await run("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", folder])
    .catch(() => false);
  if (!isMounted) return null;
  return {
    async unmount() {
      assert(await run("umount", [folder]));
    },
  };
}

/** Takes all the room that is left where `path` is. */
function fill(path: string): void {
  using file = Deno.openSync(path, { write: true, create: true });
  for (let size = 2 ** 20; size >= 1;) {
    try {
      file.writeSync(new Uint8Array(size));
    } catch {
      size /= 2;
    }
  }
}

/** Fills the disk of a run after its first checkpoint, for a while or to its end. */
async function fillDisk(
  { folder, wanted }: World,
  { modelPath, forGood }: { modelPath: string; forGood: boolean },
): Promise<void> {
  const ballast = join(modelPath, "..", "ballast");
  const training = startTraining(faultFlags(folder, modelPath));
  await training.said(READY);
  while (runsOf(modelPath).length === 0) await delay(1);
  fill(ballast);
  if (forGood) {
    const { code, stderr } = await training.ended;
    assert.equal(code, 1, stderr);
    const [error] = /^error: .*/m.exec(stderr)!;
    assert.match(error, /Cannot write .*: No space left on device.*; saved after \d+ steps, go on/);
    await Deno.remove(ballast);
    await train(["--resume", theRun(modelPath)]);
  } else {
    await training.said("warning: cannot save after ");
    await Deno.remove(ballast);
    const { code, stderr } = await training.ended;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /No space left on device.*; training goes on, \d+ steps are saved$/m);
  }
  assert.deepEqual(await tracesOf(theRun(modelPath)), wanted);
}

Deno.test({
  name: "train saves in the middle of an epoch, and goes on from there",
  ignore: GPU_OFF,
  fn: (t) =>
    withWorld(async (folder) => {
      const short = { depth: 1, epochs: 1, max_steps: 3 }; // of 9 steps
      const flags = (modelPath: string) => [
        ...tinyFlags(folder),
        ...Object.entries(short).flatMap(([name, value]) => [`--${name}`, `${value}`]),
        ...["--model_path", modelPath],
      ];
      /** Where the run was when it saved for the last time but one. */
      const before = async (run: string) => {
        const { progress } = await loadCheckpoint(join(run, "last.old"));
        return { step: progress.step, batch: progress.batch };
      };

      await t.step("after ten minutes", async () => {
        const modelPath = join(folder, "minutes");
        await train(flags(modelPath), { preload: ["fast_clock.ts"] });
        assert.deepEqual(await before(theRun(modelPath)), { step: 3, batch: 3 });
      });

      await t.step("after --save_every steps, up to --max_steps", async () => {
        const modelPath = join(folder, "steps");
        await train([...flags(modelPath), "--save_every", "2"]);
        const run = theRun(modelPath);
        const wanted = await tracesOf(run);
        assert.equal(wanted.metrics.length, 3);
        assert.deepEqual(await before(run), { step: 2, batch: 2 });
        await Deno.remove(join(run, "last"), { recursive: true });
        await train(["--resume", run, "--save_every", "5"]);
        assert.deepEqual(await tracesOf(run), wanted);
        const { progress } = await loadCheckpoint(join(run, "last"));
        assert.equal(progress.flags.save_every, 5, "whoever resumes it again need not say it anew");
      });

      await t.step("after Ctrl-C, where nothing is evaluated", async () => {
        const more = ["--epochs", "5", "--depth", "1", "--model_path", join(folder, "stopped")];
        const training = startTraining([...tinyFlags(folder), ...more]);
        await training.said("train ");
        training.process.kill("SIGINT");
        const { code, stderr } = await training.ended;
        assert.equal(code, 130, stderr);
        const [, taken, saved] = /^error: Stopped after (\d+) steps; saved after (\d+) /m.exec(
          stderr,
        )!;
        assert.equal(saved, taken, stderr);
      });
    }),
});

Deno.test({
  name: "a disturbed run ends as one that was left alone",
  ignore: GPU_OFF,
  fn: (t) =>
    withWorld(async (folder) => {
      const world = await undisturbed(folder);

      await t.step(`killed ${KILLS} times at random moments`, async () => {
        let kills = 0;
        let early = 0;
        for (let run = 0; kills < KILLS; run++) {
          const modelPath = join(folder, `killed${run}`);
          const found = await killOften(world, { modelPath, most: KILLS - kills });
          kills += found.kills;
          early += found.early;
        }
        console.log(
          `${kills} of ${KILLS} kills: losses and weights are those of the undisturbed run; ` +
            `${early} kills were before the first checkpoint`,
        );
      });
      await t.step("stopped by Ctrl-C after its first evaluation", async () => {
        const run = await stop(world, { signal: "SIGINT", code: 130, words: " 72/72 " });
        await train(["--resume", run]);
        assert.deepEqual(await tracesOf(run), world.wanted);
      });
      await t.step(
        "stopped by SIGTERM in its first epoch, and its checkpoint damaged",
        async () => {
          const run = await stop(world, { signal: "SIGTERM", code: 143, words: "train " });
          await resumeDamaged(run, world.wanted);
        },
      );

      const disk = await mountSmallDisk(join(folder, "disk"));
      for (const forGood of [false, true]) {
        await t.step({
          name: `on a disk that is full ${forGood ? "to the end" : "for a while"}`,
          ignore: disk === null, // mounting one needs root
          fn: () => {
            const modelPath = join(folder, "disk", `runs_${forGood}`);
            return fillDisk(world, { modelPath, forGood });
          },
        });
      }
      await disk?.unmount();
    }),
});
