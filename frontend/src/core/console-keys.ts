/** Keys that a phone's keyboard lacks, as a serial line and a screen are given them. */
import { gettext_noop } from "./gettext";

export interface ConsoleKey {
  label: string;
  /** What it sends on a serial line; arrows differ where a program asked for it. */
  text: string;
  inApplication?: string;
  /** X11 keysyms, held down in this order. */
  keysyms: number[];
}

const CONTROL = 0xffe3;
const arrow = (label: string, letter: string, keysym: number): ConsoleKey => ({
  label,
  text: `\x1b[${letter}`,
  inApplication: `\x1bO${letter}`,
  keysyms: [keysym],
});
const control = (letter: string): ConsoleKey => ({
  label: `Ctrl-${letter.toUpperCase()}`,
  text: String.fromCharCode(letter.charCodeAt(0) & 0x1f),
  keysyms: [CONTROL, letter.charCodeAt(0)],
});

export const CONSOLE_KEYS: readonly ConsoleKey[] = [
  { label: "Esc", text: "\x1b", keysyms: [0xff1b] },
  { label: gettext_noop("Tab"), text: "\t", keysyms: [0xff09] },
  control("c"),
  control("d"),
  arrow("↑", "A", 0xff52),
  arrow("↓", "B", 0xff54),
  arrow("←", "D", 0xff51),
  arrow("→", "C", 0xff53),
  { label: "Enter", text: "\r", keysyms: [0xff0d] },
];
