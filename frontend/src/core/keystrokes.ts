/** Text as the keys of a US keyboard (X11 keysyms): what a guest without a clipboard can be given. */
export interface Stroke {
  keysym: number;
  shift: boolean;
}

const SHIFTED = '~!@#$%^&*()_+{}|:"<>?';
const RETURN = 0xff0d;
const TAB = 0xff09;
export const BACKSPACE = 0xff08;
export const SHIFT = 0xffe1;

/** The strokes of the text, and the characters that such a keyboard does not have, each once. */
export function strokesOf(text: string): { strokes: Stroke[]; missing: string[] } {
  const strokes: Stroke[] = [];
  const missing = new Set<string>();
  for (const character of text.replace(/\r\n?/g, "\n")) {
    const stroke = strokeOf(character);
    if (stroke) strokes.push(stroke);
    else missing.add(character);
  }
  return { strokes, missing: [...missing] };
}

function strokeOf(character: string): Stroke | null {
  if (character === "\n") return { keysym: RETURN, shift: false };
  if (character === "\t") return { keysym: TAB, shift: false };
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x20 || code > 0x7e) return null;
  return { keysym: code, shift: /[A-Z]/.test(character) || SHIFTED.includes(character) };
}
