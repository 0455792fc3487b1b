import { expect, it } from "vitest";
import { strokesOf } from "./keystrokes";

it("types letters, signs and lines as a US keyboard does", () => {
  expect(strokesOf("aA1!\r\n").strokes).toEqual([
    { keysym: 0x61, shift: false },
    { keysym: 0x41, shift: true },
    { keysym: 0x31, shift: false },
    { keysym: 0x21, shift: true },
    { keysym: 0xff0d, shift: false },
  ]);
});

it("holds Shift for exactly the signs above others", () => {
  const printable = Array.from({ length: 95 }, (_, at) => String.fromCharCode(0x20 + at)).join("");
  const { strokes, missing } = strokesOf(printable);
  expect(missing).toEqual([]);
  const shifted = strokes.filter((one) => one.shift).map((one) => String.fromCharCode(one.keysym));
  expect(shifted.join("")).toBe('!"#$%&()*+:<>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ^_{|}~');
});

it("names what is on no such keyboard, once", () => {
  expect(strokesOf("é€é\u0007x")).toEqual({
    strokes: [{ keysym: 0x78, shift: false }],
    missing: ["é", "€", "\u0007"],
  });
});
