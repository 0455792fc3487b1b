import { describe, expect, it } from "vitest";
import { cut } from "./cutting";

/** As in a proportional font: an i is narrow, an m wide. */
const WIDTHS: Record<string, number> = { i: 3, l: 3, ".": 3, "-": 4, m: 10, w: 9, "…": 9, " ": 3 };
const measure = (text: string): number => [...text].reduce((sum, one) => sum + (WIDTHS[one] ?? 6), 0);
const ROOMS = Array.from({ length: 40 }, (_, at) => 6 + 5 * at);

/** Names as hosts have them: of one prefix, of different lengths, told apart by their last characters. */
const PREFIXES = [
  "",
  "hs-lead-",
  "qdhcp-",
  "payments-production-eu-west-",
  "vnet",
  "миграция-узел-",
  "😀😀😀-",
];
const TAILS = ["hv1", "hv2", "hv10", "blue", "red", "db-1", "db-2"];
const FAMILIES = PREFIXES.map((prefix) => TAILS.map((tail) => `${prefix}${tail}`));
const SENTENCES = [
  "4 of 8 vCPU, 3.5 of 16 GiB",
  "10.20.0.1, not on a bridge",
  "leaf-1 Gi1/0/3, heard by LLDP",
];

describe("what is cut", () => {
  for (const text of [...FAMILIES.flat(), ...SENTENCES]) {
    it(`fits its room, and no letter more of it would: ${text}`, () => {
      let before = "";
      for (const room of ROOMS) {
        const shown = cut(text, room, measure);
        expect(measure(shown) <= room || shown === "…").toBe(true);
        expect([...shown].length).toBeGreaterThanOrEqual([...before].length);
        expect(shown === text).toBe(measure(text) <= room);
        before = shown;
      }
    });
  }

  it("is made of the text's own begin and end, in whole characters", () => {
    for (const text of FAMILIES.flat())
      for (const room of ROOMS) {
        const shown = cut(text, room, measure);
        if (shown === text) continue;
        const [head = "", tail = ""] = shown.split("…");
        expect(text.startsWith(head) && text.endsWith(tail)).toBe(true);
        expect([...shown].filter((one) => /^[\ud800-\udfff]$/.test(one))).toEqual([]);
      }
  });

  it("tells names of one prefix apart wherever their ends have room", () => {
    for (const family of FAMILIES) {
      const ends = Math.max(...TAILS.map(measure));
      for (const room of ROOMS) {
        if (room < measure("…") + 1.5 * ends + 10) continue;
        const shown = family.map((name) => cut(name, room, measure));
        expect(new Set(shown).size).toBe(family.length);
      }
    }
  });

  it("keeps the begin of a sentence, and leaves no blank before the mark", () => {
    expect(cut("10.20.0.1, not on a bridge", 90, measure)).toBe("10.20.0.1, not o…");
    for (const text of SENTENCES)
      for (const room of ROOMS) expect(cut(text, room, measure)).not.toContain(" …");
  });
});
