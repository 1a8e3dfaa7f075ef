import assert from "node:assert/strict";
import { join } from "node:path";
import { AUGMENT_DEFAULTS } from "../../data/augment_settings.ts";
import { pairsOf } from "../../data/pairs.ts";
import { parsePeftConfig, peftConfigText } from "../../model/peft_config.ts";
import { HelpRequest, parseFlags, UsageError } from "../../scripts/cli.ts";
import {
  augmentSettings,
  checkNewRun,
  checkSame,
  checkTrainFlags,
  dataWarnings,
  smoothingOf,
  targetsOf,
  TRAIN_FLAGS,
  type TrainFlags,
  withStored,
} from "../../scripts/train_flags.ts";
import { parse as parseEntries, SMALL } from "../data/entries.ts";

const COMMAND = { name: "train", summary: "trains" };

const parse = (...args: string[]): TrainFlags =>
  parseFlags(COMMAND, TRAIN_FLAGS, ["--train_pairs_meta_file", "pairs.json", ...args]);

/** Flags of an earlier run, as its checkpoint keeps them. */
const stored = (...args: string[]): Record<string, unknown> =>
  JSON.parse(JSON.stringify(parse(...args)));

Deno.test("TRAIN_FLAGS have the defaults of the recipe", () => {
  assert.deepEqual(parse(), {
    train_pairs_meta_file: "pairs.json",
    test_pairs_meta_file: null,
    data_root: null,
    eval_mode: "pos_semipos",
    gallery: "listed",
    same_map: false,
    allow_outside_root: false,
    model: "vit_small_patch16_dinov3.lvd1689m",
    weights: null,
    depth: null,
    img_size: 384,
    global_pool: "avg",
    precision: "auto",
    gpu: null,
    num_workers: 8,
    tune: "quick",
    init_adapter: null,
    lora_r: 128,
    lora_alpha: 256,
    lora_dropout: 0.1,
    lora_targets: "attn.qkv,attn.proj,mlp.fc1,mlp.fc2",
    mlp_hidden: 2048,
    embed_dim: 256,
    batch_size: 128,
    micro_batch: null,
    grad_checkpointing: false,
    lr: 3e-4,
    weight_decay: 0.01,
    epochs: 10,
    max_steps: null,
    warmup_epochs: 0.5,
    scheduler: "cosine",
    clip_grad: 100,
    clip_grad_norm: 0,
    with_weight: false,
    k: 5,
    label_smoothing: 0,
    train_mode: "pos_semipos",
    sampling: "exclusive",
    no_augment: false,
    augment: null,
    rotate: false,
    altitude_crop: null,
    preview: null,
    seed: 42,
    no_zero_shot: false,
    model_path: "work_dir/lora",
    save_every: null,
    resume: null,
  });
});

Deno.test("targetsOf() takes layers between commas, with spaces or without", () => {
  assert.deepEqual(targetsOf(parse()), ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"]);
  assert.deepEqual(targetsOf(parse("--lora_targets", " attn.qkv, mlp.fc1 ")), [
    "attn.qkv",
    "mlp.fc1",
  ]);
});

Deno.test("train --help shows each flag with its unit or type, and its default", () => {
  let help = "";
  try {
    parseFlags(COMMAND, TRAIN_FLAGS, ["--help"]);
  } catch (request) {
    assert(request instanceof HelpRequest);
    help = request.message;
  }
  const lines = help.split("\n");
  for (const [name, spec] of Object.entries(TRAIN_FLAGS)) {
    const [line, ...others] = lines.filter((each) => new RegExp(`^ {2}--${name}\\b`).test(each));
    assert(line !== undefined && others.length === 0, `${name} is on ${others.length + 1} lines`);
    const unit = "unit" in spec ? spec.unit : spec.type;
    if (spec.type !== "boolean") assert(line.includes(unit.toUpperCase()), line);
    if ("default" in spec) assert(line.includes(`(default ${spec.default})`), line);
    assert(line.includes(spec.help), line);
  }
});

Deno.test("train --altitude_crop is auto, alone or by name, and nothing else", () => {
  assert.equal(parse("--altitude_crop").altitude_crop, "auto");
  assert.equal(parse("--altitude_crop", "--rotate").altitude_crop, "auto");
  assert.equal(parse("--altitude_crop", "auto").altitude_crop, "auto");
  assert.throws(() => parse("--altitude_crop", "on"), UsageError);
});

Deno.test("train --resume is the newest run, or the one that is named", () => {
  assert.equal(parse("--resume").resume, "newest");
  assert.equal(parse("--resume", "--epochs", "3").resume, "newest");
  assert.equal(parse("--resume=work_dir/7").resume, "work_dir/7");
  assert.equal(parse("--resume", "work_dir/7").resume, "work_dir/7");
});

Deno.test("TRAIN_FLAGS refuse what cannot be trained", () => {
  const bad = [
    ["batch_size", "1"],
    ["lora_r", "0"],
    ["lora_r", "2.5"],
    ["lora_dropout", "0.95"],
    ["lr", "-1"],
    ["lr", "nan"],
    ["epochs", "0"],
    ["max_steps", "0"],
    ["warmup_epochs", "-0.5"],
    ["label_smoothing", "1.5"],
    ["seed", "4294967296"],
    ["img_size", ""],
    ["num_workers", "-1"],
    ["save_every", "0"],
    ["micro_batch", "0"],
    ["preview", "101"],
    ["scheduler", "linear"],
    ["sampling", "shuffled"],
  ];
  for (const [name, value] of bad) {
    assert.throws(() => parse(`--${name}=${value}`), (error: Error) => {
      assert(error instanceof UsageError);
      assert(error.message.startsWith(`Cannot run train: --${name} must be `), error.message);
      assert(error.message.endsWith(`: got "${value}"`), error.message);
      return true;
    });
  }
});

Deno.test("checkTrainFlags() refuses flags that no single one can tell", () => {
  const cases: [args: string[], wanted: string][] = [
    [["--img_size", "380"], "--img_size must be a multiple of 16, as 368 or 384: got 380"],
    [["--mlp_hidden", "2050"], "--mlp_hidden must be a multiple of 4: got 2050"],
    [["--embed_dim", "255"], "--embed_dim must be a multiple of 4: got 255"],
  ];
  for (const flag of ["--rotate", "--augment=a.json", "--altitude_crop"]) {
    cases.push([["--no_augment", flag], "--no_augment excludes all other augmentation flags"]);
  }
  for (const [args, wanted] of cases) {
    assert.throws(
      () => checkTrainFlags(parse(...args)),
      new UsageError(`Cannot run train: ${wanted}`),
    );
  }
  checkTrainFlags(parse());
  checkTrainFlags(parse("--no_augment"));
  checkTrainFlags(parse("--rotate", "--augment=a.json", "--altitude_crop"));
});

Deno.test("checkNewRun() refuses flags that would do nothing", () => {
  const cases: [args: string[], wanted: string][] = [
    [
      ["--with_weight", "--label_smoothing", "0.3"],
      "--with_weight excludes --label_smoothing: got 0.3",
    ],
    [["--k", "3"], "--k is the slope of --with_weight, which is not given: got 3"],
    [
      ["--epochs", "2", "--warmup_epochs", "2.5"],
      "--warmup_epochs must be at most --epochs, 2, or --lr is never reached: got 2.5",
    ],
    [["--lora_alpha", "0"], "--lora_alpha must not be 0, as adapters then never act: got 0"],
  ];
  for (const [args, wanted] of cases) {
    assert.throws(() => checkNewRun(parse(...args)), new UsageError(`Cannot run train: ${wanted}`));
  }
  for (const [name, ...value] of [["eval_mode", "pos"], ["gallery", "folder"], ["same_map"]]) {
    const flags = [`--${name}`, ...value];
    assert.throws(
      () => checkNewRun(parse(...flags)),
      new UsageError(
        `Cannot run train: --${name} belongs to --test_pairs_meta_file, which is not given`,
      ),
    );
    checkNewRun(parse(...flags, "--test_pairs_meta_file", "test.json"));
  }
  checkNewRun(parse());
  checkNewRun(parse("--with_weight", "--k", "3"));
  checkNewRun(parse("--label_smoothing", "0.3", "--lora_alpha=-1"));
  checkNewRun(parse("--epochs", "2", "--warmup_epochs", "2"));
  checkNewRun(parse("--max_steps", "1")); // a trial warms up, and ends
});

Deno.test("withStored() makes an earlier run's flags the defaults", () => {
  const args = ["--lr", "0.125", "--rotate", "--max_steps", "7", "--resume", "--altitude_crop"];
  const before = stored(...args, "--scheduler", "constant", "--weights", "w.safetensors");
  const flags = parseFlags(COMMAND, withStored(before), ["--resume=there"]);
  assert.deepEqual(flags, { ...before, resume: "there" });
  checkSame(flags, before);
  assert.equal(parseFlags(COMMAND, withStored(before), []).resume, null); // not the earlier one
  const changed = parseFlags(COMMAND, withStored(before), ["--num_workers", "2"]);
  assert.deepEqual(changed, { ...before, resume: null, num_workers: 2 });
});

const HINT = "; a new run may begin with its adapter: --init_adapter";

Deno.test("checkSame() refuses every flag that changes the losses, and no other", () => {
  const free = ["num_workers", "save_every", "resume", "model_path", "weights", "micro_batch"];
  free.push("preview", "gpu", "tune", "augment", "data_root");
  free.push("train_pairs_meta_file", "test_pairs_meta_file");
  const before = stored("--max_steps", "7");
  for (const name of Object.keys(TRAIN_FLAGS)) {
    const flags = { ...parse("--max_steps", "7"), [name]: "new" };
    if (free.includes(name)) checkSame(flags, before);
    else {
      assert.throws(
        () => checkSame(flags, before),
        new UsageError(
          `Cannot resume with --${name} new: the run was started ` +
            (before[name] === null ? "without it" : `with ${before[name]}`) + HINT,
        ),
      );
    }
  }
});

Deno.test("checkSame() takes what an earlier version did not store as its default", () => {
  const { rotate: _, scheduler: __, ...before } = stored();
  checkSame(parse(), before);
  assert.throws(
    () => checkSame(parse("--rotate"), before),
    new UsageError("Cannot resume with --rotate true: the run was started with false" + HINT),
  );
  assert.throws(() => checkSame(parse("--scheduler", "constant"), before), /started with cosine/);
  assert.throws(
    () => checkSame(parse("--max_steps", "20"), before),
    new UsageError("Cannot resume with --max_steps 20: the run was started without it" + HINT),
  );
  assert.throws(
    () => checkSame(parse(), stored("--max_steps", "7")),
    new UsageError("Cannot resume with --max_steps left out: the run was started with 7" + HINT),
  );
});

Deno.test("augmentSettings() joins defaults, file and flags", async () => {
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, '{"flip": {"p": 0.25}}');
    assert.equal(await augmentSettings(parse("--no_augment")), null);
    assert.deepEqual(await augmentSettings(parse()), AUGMENT_DEFAULTS);
    assert.deepEqual(await augmentSettings(parse("--rotate")), {
      ...AUGMENT_DEFAULTS,
      rotate: { p: 1 },
    });
    assert.deepEqual(await augmentSettings(parse("--altitude_crop", "--augment", file)), {
      ...AUGMENT_DEFAULTS,
      flip: { p: 0.25 },
      altitude_crop: [70, 150],
    });
    await Deno.writeTextFile(file, '\ufeff{"flip": {"p": 0.5}}');
    assert.deepEqual((await augmentSettings(parse("--augment", file)))!.flip, { p: 0.5 });
    await Deno.writeTextFile(file, '{"flop": {"p": 0.25}}');
    await assert.rejects(augmentSettings(parse("--augment", file)), (error: Error) => {
      return error.message.includes(file) && error.message.includes("flop");
    });
    const none = join(file, "none.json");
    await assert.rejects(augmentSettings(parse("--augment", none)), (error: Error) => {
      return error.message.startsWith(`Cannot read ${none}: `);
    });
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("dataWarnings() names flags that the pairs file gives nothing to go by", async () => {
  const warnings = async (flags: string[], changes: Record<string, unknown>[]) => {
    const entries = parseEntries(changes.map((change) => ({ ...SMALL, ...change })));
    const parsed = parse(...flags);
    const augment = await augmentSettings(parsed);
    return dataWarnings(parsed, { entries, pairs: pairsOf(entries, "pos_semipos"), augment });
  };
  const known = { altitude_meters: 120 };
  const weighed = { pair_pos_sate_weight_list: [0.5] };
  assert.deepEqual(await warnings([], [{}, {}]), []);
  assert.deepEqual(await warnings(["--altitude_crop", "--with_weight"], [known, known, weighed]), [
    "altitude_crop passes over 1 of 3 entries, which have no altitude_meters: `merge` writes that " +
    "of a data set, see its --help",
  ]);
  assert.deepEqual(await warnings(["--altitude_crop"], [known]), []);
  assert.deepEqual(await warnings(["--with_weight"], [{}, weighed]), []);
  const percent = { pair_pos_sate_weight_list: [53.5] };
  assert.deepEqual(await warnings([], [percent]), []);
  assert.deepEqual(await warnings(["--with_weight"], [{}, percent]), [
    "weights are up to 53.5, where the share of ground that is seen is at most 1",
  ]);
  assert.deepEqual(await warnings(["--with_weight"], [{}, {}]), [
    "--with_weight smooths all pairs by 0.0067, as each has weight 1, that of entries without " +
    "pair_pos_sate_weight_list",
  ]);
});

Deno.test("smoothingOf() is sigmoid(-k weight), or the same for all", () => {
  const weights = Float32Array.of(0, 1, 0.5);
  const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
  const wanted = (k: number) => [...Float32Array.from(weights, (w) => sigmoid(-k * w))];
  assert.deepEqual([...smoothingOf(weights, parse("--with_weight"))], wanted(5));
  assert.deepEqual([...smoothingOf(weights, parse("--with_weight", "--k", "2"))], wanted(2));
  assert.equal(smoothingOf(weights, parse("--with_weight"))[0], 0.5);
  assert.deepEqual([...smoothingOf(weights, parse())], [0, 0, 0]);
  const smoothed = smoothingOf(weights, parse("--label_smoothing", "0.25"));
  assert.deepEqual([...smoothed], [0.25, 0.25, 0.25]);
});

Deno.test("an adapter of any --lora_r, --lora_alpha and --lora_dropout can be read again", () => {
  const configOf = ({ lora_r: r, lora_alpha, lora_dropout }: TrainFlags) => ({
    r,
    lora_alpha,
    lora_dropout,
    use_rslora: false,
    target_modules: ["attn.qkv"],
    modules_to_save: null,
    rank_pattern: {},
    alpha_pattern: { "blocks.0.attn.qkv": lora_alpha },
    base_model_name_or_path: null,
  });
  const accepted = Map.groupBy(
    ["lora_r", "lora_alpha", "lora_dropout"].flatMap((name) =>
      [-1e300, -1, -0.5, 0, 0.5, 0.9, 1, 4096, 1e300].map((value) => `--${name}=${value}`)
    ).filter((arg) => {
      try {
        return parse(arg);
      } catch {
        return false;
      }
    }),
    (arg) => arg.split("=")[0],
  );
  assert.deepEqual([...accepted.values()].map(({ length }) => length), [2, 9, 3]);
  for (const arg of [...accepted.values()].flat()) {
    const config = configOf(parse(arg));
    const read = parsePeftConfig(peftConfigText(config));
    for (const [key, value] of Object.entries(config)) {
      assert.deepEqual(read[key as keyof typeof config], value, `${key} of ${arg}`);
    }
  }
});

Deno.test("withStored() makes no preview again", () => {
  const before = stored("--preview", "4");
  assert.equal(parseFlags(COMMAND, withStored(before), ["--resume"]).preview, null);
});
