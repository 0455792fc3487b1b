/**
 * The islands' words in the page's language. English words are the keys; whoever called `speak` for no other language (a
 * worker, a test) speaks English. A catalogue is a .po file that the build made a module of its own.
 */

interface Catalogue {
  words: Record<string, string | readonly string[]>;
  /** Which of the forms a number takes. */
  plural: (count: number) => number;
}

type Values = Record<string, string | number>;

const CATALOGUES: Record<string, () => Promise<Catalogue>> = {
  ru: () => import("../../../portal/locale/ru/LC_MESSAGES/djangojs.po"),
};

let catalogue: Catalogue | null = null;

/** From now on every word is of that language, or English where there is no catalogue, or it does not come. */
export async function speak(language: string): Promise<void> {
  const load = CATALOGUES[language];
  catalogue = load ? await load().catch(() => null) : null;
}

/** The words, with `%(name)s` filled in. What is given must be a literal here, or marked by `gettext_noop` elsewhere. */
export function gettext(words: string, values: Values = {}): string {
  const told = catalogue?.words[words];
  return filled(typeof told === "string" ? told : words, values);
}

/** The form for a number, which is `%(count)s` in it where the values do not say otherwise. */
export function ngettext(one: string, many: string, count: number, values: Values = {}): string {
  const told = catalogue?.words[one];
  const words = Array.isArray(told) && catalogue ? told[catalogue.plural(count)] : undefined;
  return filled(words ?? (count === 1 ? one : many), { count, ...values });
}

/** Marks words that a table keeps in English, and that `gettext` is asked for when they are shown. */
export function gettext_noop(words: string): string {
  return words;
}

function filled(words: string, values: Values): string {
  return words.replace(/%\((\w+)\)s/g, (whole, name: string) => String(values[name] ?? whole));
}
