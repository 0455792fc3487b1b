import { expect, it } from "vitest";
import { CONSOLE_KEYS } from "./console-keys";

it("gives a serial line control characters, and arrows of both kinds", () => {
  const texts = Object.fromEntries(CONSOLE_KEYS.map((key) => [key.label, key.text]));
  expect([texts["Ctrl-C"], texts["Ctrl-D"], texts.Esc, texts["↑"]]).toEqual([
    "\x03",
    "\x04",
    "\x1b",
    "\x1b[A",
  ]);
  expect(CONSOLE_KEYS.filter((key) => key.inApplication).map((key) => key.inApplication)).toEqual([
    "\x1bOA",
    "\x1bOB",
    "\x1bOD",
    "\x1bOC",
  ]);
});

it("holds Control under a letter on a screen", () => {
  expect(CONSOLE_KEYS.find((key) => key.label === "Ctrl-C")?.keysyms).toEqual([0xffe3, 0x63]);
});
