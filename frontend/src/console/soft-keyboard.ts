/** The button that brings up a phone's keyboard, and the unseen field that such a keyboard writes into. */
import { CONSOLE_KEYS, type ConsoleKey } from "../core/console-keys";
import type { Stroke } from "../core/keystrokes";
import { FILLER, isSpent, strokesBetween } from "../core/soft-keyboard";

/** Keys that some phones' keyboards have, and that change no text; Tab leaves the field, as anywhere. */
const NAMED: Record<string, string> = {
  Escape: "Esc",
  ArrowUp: "↑",
  ArrowDown: "↓",
  ArrowLeft: "←",
  ArrowRight: "→",
};

/**
 * Wires the page's button and field, where it has them. `type` strikes keys and says in words what it left out; `turned` is told
 * when the keyboard comes up or goes.
 */
export function softKeyboard(
  type: (strokes: Stroke[], missing: string[]) => Promise<string>,
  press: (key: ConsoleKey) => void,
  turned: (isUp: boolean) => void,
): { isUp(): boolean } | null {
  const button = document.querySelector<HTMLButtonElement>("[data-console-keyboard]");
  const field = document.querySelector<HTMLTextAreaElement>("[data-console-typed]");
  const said = document.querySelector<HTMLElement>("[data-console-typed-said]");
  if (!button || !field) return null;
  const isUp = (): boolean => document.activeElement === field;
  let before = FILLER;
  const begin = (): void => {
    before = field.value = FILLER;
    field.setSelectionRange(FILLER.length, FILLER.length);
  };
  const written = async (isComposing: boolean): Promise<void> => {
    const { strokes, missing } = strokesBetween(before, field.value);
    before = field.value;
    if (!isComposing && isSpent(before)) begin(); // amid a word the keyboard would lose its place
    if (strokes.length === 0 && missing.length === 0) return;
    const words = await type(strokes, missing);
    if (!said) return;
    said.textContent = words;
    said.hidden = words === "";
  };
  const shown = (): void => {
    button.setAttribute("aria-pressed", String(isUp()));
    turned(isUp());
  };
  button.addEventListener("mousedown", (event) => event.preventDefault()); // the focus stays, to be looked at
  button.addEventListener("click", () => (isUp() ? field.blur() : field.focus()));
  field.addEventListener("focus", () => {
    begin();
    shown();
  });
  field.addEventListener("blur", shown);
  field.addEventListener("input", (event) => void written((event as InputEvent).isComposing));
  field.addEventListener("compositionend", () => void written(false));
  field.addEventListener("keydown", (event) => {
    const key = CONSOLE_KEYS.find((one) => one.label === NAMED[event.key]);
    if (!key || event.isComposing) return;
    event.preventDefault();
    press(key);
  });
  return { isUp };
}
