import { beforeEach, expect, it } from "vitest";
import type { Stroke } from "../core/keystrokes";
import { softKeyboard } from "./soft-keyboard";

const typed: number[] = [];
const turns: boolean[] = [];

function page(): { button: HTMLButtonElement; field: HTMLTextAreaElement; said: HTMLElement } {
  document.body.innerHTML = `<button data-console-keyboard aria-pressed="false"></button>
    <textarea data-console-typed></textarea><p data-console-typed-said hidden></p>`;
  const type = async (strokes: Stroke[], missing: string[]): Promise<string> => {
    typed.push(...strokes.map((one) => one.keysym));
    return missing.length > 0 ? `not typed: ${missing.join(" ")}` : "";
  };
  softKeyboard(
    type,
    (key) => typed.push(...key.keysyms),
    (isUp) => turns.push(isUp),
  );
  const [button, field, said] = [...document.body.children] as HTMLElement[];
  return { button, field, said } as ReturnType<typeof page>;
}

function write(field: HTMLTextAreaElement, text: string): void {
  field.value += text;
  field.dispatchEvent(new InputEvent("input"));
}

beforeEach(() => {
  typed.length = 0;
  turns.length = 0;
});

it("comes up and goes by its button", () => {
  const { button, field } = page();
  button.click();
  expect(document.activeElement).toBe(field);
  expect(button.getAttribute("aria-pressed")).toBe("true");
  button.click();
  expect(button.getAttribute("aria-pressed")).toBe("false");
  expect(turns).toEqual([true, false]);
});

it("gives the guest letters, Return, Backspace and keys that change no text", () => {
  const { button, field } = page();
  button.click();
  write(field, "a");
  write(field, "\n");
  field.value = field.value.slice(0, -1);
  field.dispatchEvent(new InputEvent("input"));
  field.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowUp", cancelable: true }));
  expect(typed).toEqual([0x61, 0xff0d, 0xff08, 0xff52]);
});

it("says what it could not type, and is silent after what it could", async () => {
  const { button, field, said } = page();
  button.click();
  write(field, "é");
  field.dispatchEvent(new CompositionEvent("compositionend"));
  await Promise.resolve();
  expect([said.hidden, said.textContent]).toEqual([false, "not typed: é"]);
  write(field, "e");
  await Promise.resolve();
  expect(said.hidden).toBe(true);
});
