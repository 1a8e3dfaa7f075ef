import { parseEmbeddings } from "../eval/embeddings.ts";
import { readSafetensors, toFloat32 } from "../model/safetensors.ts";

/**
 * Reads a file of embeddings; see `eval/embeddings.ts` for its format.
 *
 * @throws {Error} If it is missing, damaged or holds something else.
 */
export async function readEmbeddings(path: string): Promise<ReturnType<typeof parseEmbeddings>> {
  const file = await readSafetensors(path);
  const tensors = new Map(
    [...file.tensors].filter(([name]) => name === "query" || name === "gallery")
      .map(([name, { shape }]) => [name, { shape, data: toFloat32(file, name) }]),
  );
  return parseEmbeddings({ tensors, metadata: file.metadata }, path);
}
