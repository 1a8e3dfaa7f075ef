/** Where a {@linkcode Progress} is. */
export interface ProgressState {
  done: number;
  total: number;
  /** Work a second, such as `12.3 images/s`, and other words beside the bar. */
  words: string[];
}

/** A bar is on the terminal's last line. */
let isShown = false;

/**
 * Prints a line where a bar may be; the bar comes back by itself. A line that nobody takes, as the
 * terminal was closed or a disk is full, is lost: no run ends for want of a reader.
 */
export function say(output: "stdout" | "stderr", line: string): void {
  hideProgress();
  write(output, `${line}\n`);
}

const WIDTH = 24;
const LINE_MS = 10_000; // between lines where there is no terminal

/**
 * A progress bar on stderr: one line that rewrites itself on a terminal, and now and then a line
 * where stderr goes to a file.
 */
export class Progress {
  readonly #label: string;
  readonly #isTerminal = Deno.stderr.isTerminal();
  #lastLine = -Infinity;
  #first: { done: number; time: number } | null = null;

  constructor(label: string) {
    this.#label = label;
  }

  /** Shows a state; the time left is estimated from the first one on. */
  show({ done, total, words }: ProgressState): void {
    const now = performance.now();
    this.#first ??= { done, time: now };
    if (!this.#isTerminal && done < total && now - this.#lastLine < LINE_MS) return;
    this.#lastLine = now;
    const progressed = done - this.#first.done;
    const left = progressed > 0 && done < total
      ? [`${duration((now - this.#first.time) / progressed * (total - done))} left`]
      : [];
    const text = (width: number) =>
      [`${this.#label} ${bar(width, done / total)} ${done}/${total}`, ...words, ...left].join("  ");
    const room = this.#isTerminal ? columns() - 1 : Infinity; // a full line may wrap
    const line = text(Math.max(0, Math.min(WIDTH, room - text(0).length))).slice(0, room);
    isShown = this.#isTerminal;
    write("stderr", this.#isTerminal ? `\r\x1b[K${line}` : `${line}\n`);
  }

  /** Takes the bar off the terminal. */
  end(): void {
    hideProgress();
  }
}

/** So many characters, of which a share is filled. */
function bar(width: number, share: number): string {
  const filled = Math.round(width * Math.min(1, share || 0)); // 0 of 0 is no share
  return "█".repeat(filled) + "░".repeat(width - filled);
}

/** Of the terminal as it is now; Infinity if nobody knows. */
function columns(): number {
  try {
    return Deno.consoleSize().columns || Infinity;
  } catch {
    return Infinity; // there is no terminal
  }
}

function hideProgress(): void {
  if (!isShown) return;
  isShown = false;
  write("stderr", "\r\x1b[K");
}

function write(output: "stdout" | "stderr", text: string): void {
  const bytes = new TextEncoder().encode(text);
  try {
    for (let written = 0; written < bytes.length;) {
      written += Deno[output].writeSync(bytes.subarray(written));
    }
  } catch {
    // there is nobody to tell
  }
}

/** Milliseconds as `h:mm:ss` or `m:ss`. */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (n: number) => String(n).padStart(2, "0");
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}
