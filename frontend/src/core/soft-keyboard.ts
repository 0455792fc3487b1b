/**
 * What a phone's keyboard writes, as keystrokes. Such a keyboard tells no keys: it changes a field's text, and may change words
 * that it wrote before. So a change is as many strokes back as it takes, and what comes after.
 */
import { BACKSPACE, type Stroke, strokesOf } from "./keystrokes";

/** The field is never empty, so that there is always something to erase. */
export const FILLER = "_".repeat(60);

/** What makes one text of a field the other, and characters that a US keyboard does not have: those were never typed, and are not erased. */
export function strokesBetween(before: string, after: string): { strokes: Stroke[]; missing: string[] } {
  const [old, fresh] = [[...before], [...after]];
  let same = 0;
  while (same < old.length && same < fresh.length && old[same] === fresh[same]) same += 1;
  const erased = strokesOf(old.slice(same).join("")).strokes;
  const { strokes, missing } = strokesOf(fresh.slice(same).join(""));
  return { strokes: [...erased.map(() => ({ keysym: BACKSPACE, shift: false })), ...strokes], missing };
}

/** Whether the field may begin anew: it ran low of what can be erased, grew long, or a line ended. */
export function isSpent(text: string): boolean {
  return text.length < FILLER.length / 2 || text.length > FILLER.length * 4 || text.endsWith("\n");
}
