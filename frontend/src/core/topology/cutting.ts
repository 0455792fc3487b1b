/**
 * Words that are too long for their room. A sentence loses its end. A name loses its middle: names of one place begin alike
 * (`hs-lead-hv1`, `payments-web-1`), and what tells them apart stands at their ends, the last characters most of all.
 */

const GAP = "…";

/** Most of the text that fits, by the width that `measure` gives; "…" where nothing does. */
export function cut(text: string, room: number, measure: (text: string) => number): string {
  if (measure(text) <= room) return text;
  const shorten = text.includes(" ") ? withoutEnd : withoutMiddle;
  const letters = [...text]; // whole characters: half of an emoji is none
  // From what the room would hold of letters of one width: mostly the answer is a letter or two off.
  let keep = Math.min(letters.length - 1, Math.max(1, Math.floor((letters.length * room) / measure(text))));
  while (keep < letters.length - 1 && measure(shorten(letters, keep + 1)) <= room) keep++;
  while (keep > 0 && measure(shorten(letters, keep)) > room) keep--;
  return shorten(letters, keep);
}

function withoutEnd(letters: readonly string[], keep: number): string {
  return `${letters.slice(0, keep).join("").trimEnd()}${GAP}`;
}

/** A third is the begin, two thirds the end. */
function withoutMiddle(letters: readonly string[], keep: number): string {
  const head = Math.floor(keep / 3);
  const tail = keep - head;
  return `${letters.slice(0, head).join("")}${GAP}${tail > 0 ? letters.slice(-tail).join("") : ""}`;
}
