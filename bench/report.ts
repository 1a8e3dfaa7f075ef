/**
 * Tables of measurements: printed as TSV while they grow, kept for `--json`.
 *
 * @module
 */
import { writeFileAtomic } from "../model/files.ts";
import type { Gpu } from "../kernels/gpu.ts";

/** A measured or counted value; null where there is none. */
export type Cell = string | number | null;

/** What was measured, on what. */
export class Report {
  readonly #tables: Record<string, Record<string, Cell>[]> = {};
  readonly #machine: Record<string, string>;
  readonly #print: (line: string) => void;

  /** @param print Receives each line of the tables. */
  constructor(gpu: Pick<Gpu, "name" | "host">, print: (line: string) => void = console.log) {
    const { deno, v8 } = Deno.version;
    this.#machine = {
      adapter: gpu.name,
      host: gpu.host,
      deno,
      v8,
      cores: String(navigator.hardwareConcurrency),
      date: new Date().toISOString().slice(0, 10),
    };
    this.#print = print;
    print(`# ${Object.entries(this.#machine).map(([key, value]) => `${key} ${value}`).join(", ")}`);
  }

  /**
   * Starts a table.
   *
   * @returns Adds a row, which must have a cell for every column.
   */
  table(name: string, columns: readonly string[], note = ""): (row: readonly Cell[]) => void {
    this.#print(`\n# ${name}${note && `: ${note}`}`);
    this.#print(columns.join("\t"));
    const rows: Record<string, Cell>[] = this.#tables[name] = [];
    return (row) => {
      if (row.length !== columns.length) {
        throw new RangeError(
          `Cannot add ${row.length} cells to table "${name}": it has ${columns.length} columns`,
        );
      }
      rows.push(Object.fromEntries(columns.map((column, i) => [column, row[i]!])));
      this.#print(row.map(formatCell).join("\t"));
    };
  }

  /** Writes machine and tables as JSON, with all digits. */
  async save(path: string): Promise<void> {
    const all = { machine: this.#machine, tables: this.#tables };
    await writeFileAtomic(path, JSON.stringify(all, null, 2) + "\n");
  }

  /** Rows of a table so far. */
  rows(name: string): readonly Record<string, Cell>[] {
    return this.#tables[name] ?? [];
  }
}

/** Four digits, as many as a measurement has. */
export function formatCell(cell: Cell): string {
  if (cell === null) return "-";
  return typeof cell === "number" ? String(Number(cell.toPrecision(4))) : cell;
}
