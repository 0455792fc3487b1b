import { afterEach, describe, expect, it } from "vitest";
import RUSSIAN from "../../portal/locale/ru/LC_MESSAGES/djangojs.po?raw";
import { moduleOf, type PoEntry, parsePo } from "../po.mjs";
import { sources, wordsOf } from "../words.mjs";
import { gettext, ngettext, speak } from "./core/gettext";

const FOUND = sources().map(([path, text]) => ({ path, ...wordsOf(path, text) }));
const unmarkedIn = (path: string, text: string): string[] => wordsOf(path, text).unmarked;

afterEach(() => speak("en"));

describe("the islands' words", () => {
  it.each(FOUND)("$path has no words that people read outside of gettext", ({ unmarked }) => {
    expect(unmarked).toEqual([]);
  });

  it("are each in the Russian catalogue, which has none that nobody says", () => {
    const marked = new Set(
      FOUND.flatMap((one) => one.marked.map(([words, many]) => `${words}|${many ?? ""}`)),
    );
    const there = parsePo(RUSSIAN).entries.map((one: PoEntry) => `${one.words}|${one.plural}`);
    expect(there.sort()).toEqual([...marked].sort());
    expect(marked.size).toBeGreaterThan(250);
  });

  it.each([
    ["a.svelte", "<p>Nothing here</p>", ["Nothing here"]],
    ["a.svelte", '<p title="Gone">{x}</p>', ["Gone"]],
    ["a.svelte", '<button aria-label={open ? "Close" : "Open it"}></button>', ["Close", "Open it"]],
    ["a.svelte", '<p class="big red">{gettext("Nothing here")}</p>', []],
    ["a.svelte", "<code>ip link</code>", []],
    ["a.ts", 'place.textContent = "Nothing is here";', ["Nothing is here"]],
    // biome-ignore lint/suspicious/noTemplateCurlyInString: it is source
    ["a.ts", "const said = `${count} are left`;", ["are left"]],
    ["a.ts", 'const said = gettext("%(count)s are left", { count: "of many" });', ["of many"]],
    ["a.ts", 'import { a } from "./a"; if (key === "Escape now") a();', []],
  ])("are found in %s: %s", (path, text, found) => {
    expect(unmarkedIn(path, text)).toEqual(found);
  });
});

describe("a page in Russian", () => {
  it("says words with their values filled in", async () => {
    await speak("ru");
    expect(gettext("Try now")).toBe("Попробовать сейчас");
    expect(gettext("step %(number)s of %(total)s", { number: 3, total: 12 })).toBe("шаг 3 из 12");
    expect(gettext("no such words")).toBe("no such words");
  });

  it("takes the form that the number asks for", async () => {
    await speak("ru");
    const flows = (count: number): string => ngettext("%(count)s flow", "%(count)s flows", count);
    expect([1, 3, 5, 11, 21, 104].map(flows)).toEqual([
      "1 поток",
      "3 потока",
      "5 потоков",
      "11 потоков",
      "21 поток",
      "104 потока",
    ]);
  });
});

describe("a page in English, or in a language that is not there", () => {
  it.each(["en", "de", ""])("says the words themselves (%s)", async (language) => {
    await speak(language);
    expect(gettext("%(count)s found", { count: 2 })).toBe("2 found");
    expect([1, 2].map((count) => ngettext("%(count)s flow", "%(count)s flows", count))).toEqual([
      "1 flow",
      "2 flows",
    ]);
  });
});

describe("a catalogue", () => {
  it("leaves out what is not translated or only guessed", () => {
    const text =
      'msgid ""\nmsgstr ""\n"Plural-Forms: nplurals=2; plural=(n!=1);\\n"\n\nmsgid "a"\nmsgstr ""\n\n#, fuzzy\nmsgid "b"\nmsgstr "c"\n';
    expect(moduleOf(text)).toContain("export const words = {};");
  });

  it("whose rule of plurals is no rule is refused", () => {
    const text = 'msgid ""\nmsgstr ""\n"Plural-Forms: nplurals=2; plural=alert(1);\\n"\n';
    expect(() => moduleOf(text)).toThrow("rule of plurals");
  });
});
