import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { duration, Progress, say } from "../../scripts/progress.ts";

/** What is written to stderr, and a clock that the test sets, in milliseconds. */
function watch(
  isTerminal: boolean,
  use: (clock: { now: number }, written: () => string) => void,
  consoleSize = () => ({ columns: 80, rows: 24 }),
) {
  const clock = { now: 1000 };
  const texts: string[] = [];
  const decoder = new TextDecoder();
  const { stderr } = Deno;
  const before = { isTerminal: stderr.isTerminal, writeSync: stderr.writeSync };
  const { now } = performance;
  const size = Deno.consoleSize;
  Deno.consoleSize = consoleSize;
  performance.now = () => clock.now;
  stderr.isTerminal = () => isTerminal;
  stderr.writeSync = (bytes) => (texts.push(decoder.decode(bytes)), bytes.length);
  try {
    use(clock, () => texts.splice(0).join(""));
  } finally {
    Object.assign(stderr, before);
    performance.now = now;
    Deno.consoleSize = size;
  }
}

const bar = (filled: number) => "█".repeat(filled) + "░".repeat(24 - filled);

Deno.test("Progress rewrites one line on a terminal", () => {
  watch(true, (clock, written) => {
    const progress = new Progress("embed");
    clock.now += 5000; // what happens before the first state says nothing about the rate
    progress.show({ done: 2, total: 12, words: ["3.0 images/s"] });
    assert.equal(written(), `\r\x1b[Kembed ${bar(4)} 2/12  3.0 images/s`);
    clock.now += 1000;
    progress.show({ done: 4, total: 12, words: [] });
    assert.equal(written(), `\r\x1b[Kembed ${bar(8)} 4/12  0:04 left`); // 8 more at 2 a second
    clock.now += 500;
    progress.show({ done: 12, total: 12, words: ["a", "b"] });
    assert.equal(written(), `\r\x1b[Kembed ${bar(24)} 12/12  a  b`);
    progress.end();
    assert.equal(written(), "\r\x1b[K");
  });
});

Deno.test("Progress keeps to one line of a narrow terminal: the bar gives way, then the end", () => {
  let columns = 0;
  const sizes = () => ({ columns, rows: 0 });
  watch(true, (_, written) => {
    const progress = new Progress("train");
    const line = () => {
      progress.show({ done: 1, total: 2, words: ["loss 1.5"] });
      return written().replace("\r\x1b[K", "");
    };
    const whole = `train ${bar(12)} 1/2  loss 1.5`;
    for (columns of [0, 200, whole.length + 1]) assert.equal(line(), whole); // 0: it is not known
    columns = whole.length;
    assert.equal(line(), `train ${"█".repeat(12)}${"░".repeat(11)} 1/2  loss 1.5`);
    columns = 30;
    assert.equal(line(), "train █████░░░░ 1/2  loss 1.5");
    columns = 21;
    assert.equal(line(), "train  1/2  loss 1.5");
    columns = 10;
    assert.equal(line(), "train  1/");
  }, sizes);
});

Deno.test("Progress writes all of a line where nobody knows how wide it may be", () => {
  const unknown = () => {
    throw new Error("not connected to a terminal");
  };
  for (const isTerminal of [false, true]) {
    watch(isTerminal, (_, written) => {
      new Progress("train").show({ done: 1, total: 1, words: ["w".repeat(300)] });
      assert.equal(
        written().trim().replace("\x1b[K", ""),
        `train ${bar(24)} 1/1  ${"w".repeat(300)}`,
      );
    }, unknown);
  }
  watch(false, (_, written) => {
    new Progress("train").show({ done: 1, total: 1, words: [] });
    assert.equal(written(), `train ${bar(24)} 1/1\n`);
  }, () => ({ columns: 5, rows: 5 })); // of stdin, as stderr is a file
});

Deno.test("say() takes a bar off for its line, and the bar comes back", () => {
  watch(true, (_, written) => {
    const progress = new Progress("train");
    progress.show({ done: 0, total: 2, words: [] });
    written();
    say("stderr", "a line");
    assert.equal(written(), "\r\x1b[Ka line\n");
    say("stderr", "another");
    assert.equal(written(), "another\n");
    progress.end();
    assert.equal(written(), "");
    progress.show({ done: 1, total: 2, words: [] });
    assert.match(written(), /1\/2/);
    progress.end();
    assert.equal(written(), "\r\x1b[K");
  });
});

Deno.test("say() writes all of a line, however little is taken at a time", () => {
  watch(true, (_, written) => {
    const { writeSync } = Deno.stderr;
    Deno.stderr.writeSync = (bytes) => writeSync(bytes.subarray(0, 3));
    say("stderr", "more than three");
    assert.equal(written(), "more than three\n");
  });
});

Deno.test("say() does without a reader", () => {
  watch(true, () => {
    let tried = 0;
    Deno.stderr.writeSync = () => {
      tried++;
      throw new Deno.errors.BrokenPipe("Broken pipe (os error 32)");
    };
    say("stderr", "is anybody there?");
    assert.equal(tried, 1);
  });
});

Deno.test("Progress writes a line every 10 s, and the last, where there is no terminal", () => {
  watch(false, (clock, written) => {
    const progress = new Progress("train");
    const show = (done: number) => progress.show({ done, total: 100, words: [] });
    show(0);
    assert.equal(written(), `train ${bar(0)} 0/100\n`);
    clock.now += 9_999;
    show(10);
    assert.equal(written(), "");
    clock.now += 1;
    show(20);
    assert.equal(written(), `train ${bar(5)} 20/100  0:40 left\n`);
    clock.now += 100;
    show(100);
    assert.equal(written(), `train ${bar(24)} 100/100\n`);
    progress.end();
    assert.equal(written(), "");
  });
});

Deno.test("Progress of a resumed run does not count what was there before", () => {
  watch(true, (clock, written) => {
    const progress = new Progress("train");
    progress.show({ done: 90, total: 100, words: [] });
    clock.now += 60_000;
    written();
    progress.show({ done: 91, total: 100, words: [] });
    assert.match(written(), / 91\/100 {2}9:00 left$/);
  });
});

Deno.test("Progress draws nothing odd for no work, or more than was said", () => {
  watch(true, (_clock, written) => {
    new Progress("a").show({ done: 0, total: 0, words: [] });
    assert.equal(written(), `\r\x1b[Ka ${bar(0)} 0/0`);
    new Progress("b").show({ done: 7, total: 6, words: [] });
    assert.equal(written(), `\r\x1b[Kb ${bar(24)} 7/6`);
  });
});

Deno.test("duration() writes minutes and seconds, and hours where there are any", () => {
  const cases = [[0, "0:00"], [499, "0:00"], [500, "0:01"], [59_499, "0:59"], [59_500, "1:00"]];
  const long = [[754_000, "12:34"], [3_599_499, "59:59"], [3_599_500, "1:00:00"]];
  for (const [ms, text] of [...cases, ...long, [36e6 + 61_000, "10:01:01"]]) {
    assert.equal(duration(ms as number), text);
  }
});

/** A file that takes no byte. */
const FULL = "/dev/full";

Deno.test({
  name: "nothing that a run prints ends it when its output takes nothing",
  ignore: Deno.build.os !== "linux", // there alone is such a file
  fn: async () => {
    const folder = await Deno.makeTempDir();
    const script = fileURLToPath(new URL("progress_child.ts", import.meta.url));
    const deno = [Deno.execPath(), "run", "--quiet", "--allow-read", "--allow-write", script];
    const { code } = await new Deno.Command("sh", {
      args: ["-c", `exec "$@" >${FULL} 2>${FULL}`, "sh", ...deno, folder],
    }).output();
    assert.equal(code, 0);
    const log = await Deno.readTextFile(join(folder, "log.txt"));
    assert.equal(log, "a result\na note\nall was said\n");
    await Deno.remove(folder, { recursive: true });
  },
});
