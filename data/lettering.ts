import type { Size } from "./crops.ts";

/** Extent of a letter with the space around it, px at scale 1. */
export const LETTER: Size = { width: 6, height: 10 };

// ASCII 32 to 126 as on dot-matrix displays: five columns of eight dots each, the top one lowest.
const DOTS = new Uint8Array(95 * 5);
(
  "000000000000005f00000007000700147f147f14242a7f2a12231308646236495620500000070000" +
  "001c2241000041221c0014083e081408083e08080080600000080808080800606000002010080402" +
  "3e5149453e00427f4000625149494622414949361814127f1027454545393c4a4949300171090503" +
  "3649494936064949291e003636000000806600000814224100141414141400412214080201510906" +
  "3e415d551e7e1111117e7f494949363e414141227f4141413e7f494949417f090909013e4149493a" +
  "7f0808087f00417f41002040413f017f081422417f404040407f020c027f7f0408107f3e4141413e" +
  "7f090909063e4151215e7f09192946264949493201017f01013f4040403f1f2040201f3f4038403f" +
  "631408146307087008076151494543007f41410002040810200041417f0004020102044040404040" +
  "000102040020545454787f484444383844444428384444487f3854545418087e09010218a4a4a47c" +
  "7f0804047800447d40004080847d007f1028440000417f40007c041804787c080404783844444438" +
  "fc2424241818242424fc7c080404084854545424043f4440203c4040207c1c2040201c3c4030403c" +
  "44281028441ca0a0a07c4464544c44000836410000007f000000413608000804081008"
).match(/../g)!.forEach((pair, i) => DOTS[i] = parseInt(pair, 16));

/** Where and how to write. */
export interface Lettering {
  /** Top left corner, px. */
  left: number;
  top: number;
  /** Pixels a dot; whole. */
  scale: number;
  /** Most letters; the rest is left out. */
  limit: number;
}

/**
 * Writes a line in white on u8 RGB pixels, with letters of its own: a machine need not have fonts.
 *
 * @param pixels (height, width, 3), changed in place; the line has to fit.
 * @param size Extent of `pixels`, px.
 */
export function writeLine(pixels: Uint8Array, size: Size, text: string, place: Lettering): void {
  const { left, top, scale, limit } = place;
  for (const [i, letter] of [...text].slice(0, limit).entries()) {
    const code = letter.codePointAt(0)!;
    const glyph = (code >= 32 && code < 127 ? code : 63) - 32; // "?" for all that is not ASCII
    for (let column = 0; column < 5 * scale; column++) {
      const dots = DOTS[glyph * 5 + Math.floor(column / scale)]!;
      for (let row = 0; row < 8 * scale; row++) {
        if ((dots >> Math.floor(row / scale)) % 2 === 0) continue;
        const at = (top + row) * size.width + left + i * LETTER.width * scale + column;
        pixels.fill(255, at * 3, at * 3 + 3);
      }
    }
  }
}
