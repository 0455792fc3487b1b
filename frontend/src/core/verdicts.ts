/** Verdicts in the page's words. */
import { gettext, gettext_noop } from "./gettext";

const WORDS: Record<string, string> = {
  delivered: gettext_noop("Delivered"),
  dropped: gettext_noop("Dropped"),
  flooded: gettext_noop("Flooded"),
  to_controller: gettext_noop("To controller"),
  unknown: gettext_noop("Unknown"),
};

export function verdictWords(verdict: string): string {
  return gettext(WORDS[verdict] ?? verdict);
}
