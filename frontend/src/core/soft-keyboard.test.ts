import { expect, it } from "vitest";
import { FILLER, isSpent, strokesBetween } from "./soft-keyboard";

/** What a guest's line shows after these texts of the field, one after the other. */
function lineAfter(...texts: string[]): string {
  let line = FILLER;
  let before = FILLER;
  for (const text of texts) {
    for (const { keysym } of strokesBetween(before, text).strokes)
      line =
        keysym === 0xff08
          ? line.slice(0, -1)
          : line + (keysym === 0xff0d ? "\n" : String.fromCharCode(keysym));
    before = text;
  }
  return line.slice(FILLER.length);
}

it("types letters as they come, and a keyboard's second thoughts over its first", () => {
  expect(lineAfter(`${FILLER}l`, `${FILLER}ls`, `${FILLER}ls `, `${FILLER}ls -l\n`)).toBe("ls -l\n");
  expect(lineAfter(`${FILLER}teh`, `${FILLER}the `)).toBe("the ");
  expect(lineAfter(`${FILLER}ab`, `${FILLER}a`)).toBe("a");
});

it("erases what stood before the field began", () => {
  const { strokes } = strokesBetween(FILLER, FILLER.slice(0, -2));
  expect(strokes).toEqual([
    { keysym: 0xff08, shift: false },
    { keysym: 0xff08, shift: false },
  ]);
});

it("leaves what was composed to a letter of no US keyboard untyped, and does not erase it later", () => {
  expect(strokesBetween(`${FILLER}ni`, `${FILLER}你`).missing).toEqual(["你"]);
  expect(lineAfter(`${FILLER}x`, `${FILLER}xni`, `${FILLER}x你`, `${FILLER}x`)).toBe("x");
});

it("begins anew after a line, and before there is nothing left to erase", () => {
  expect([FILLER, `${FILLER}ls`].some(isSpent)).toBe(false);
  expect([`${FILLER}ls\n`, FILLER.slice(0, 20), FILLER.repeat(5)].every(isSpent)).toBe(true);
});
