/** A .po file as the front end reads it: the build makes a module of it, and a test looks at its entries. */

/** Every entry but the head and what is obsolete: `{ words, plural, told, fuzzy }`. The head is `head`. */
export function parsePo(text) {
  const blocks = text.split(/\n{2,}/).map(parseBlock);
  const head = blocks.find((one) => one.words === "" && one.told.length > 0)?.told[0] ?? "";
  return { head, entries: blocks.filter((one) => one.words !== "") };
}

function parseBlock(block) {
  const parts = {};
  let key = "";
  for (const line of block.split("\n")) {
    const named = /^(msgid_plural|msgid|msgstr(?:\[\d\])?) (".*")$/.exec(line);
    if (named) {
      key = named[1];
      parts[key] = JSON.parse(named[2]);
    } else if (line.startsWith('"')) parts[key] += JSON.parse(line);
  }
  const told = Object.keys(parts).filter((name) => name.startsWith("msgstr"));
  return {
    words: parts.msgid ?? "",
    plural: parts.msgid_plural ?? "",
    told: told.map((name) => parts[name]),
    fuzzy: /^#,.*fuzzy/m.test(block),
  };
}

/** The rule of plurals is C, and JavaScript where it is made of these alone; it becomes code of the build, for a page evaluates nothing. */
const RULE = /plural=([n0-9 %&|!=<>?:()+-]+);/;

/** The source of a module with `words` and `plural`; what has no translation is left out, and stays English. */
export function moduleOf(text) {
  const { head, entries } = parsePo(text);
  const rule = RULE.exec(head)?.[1];
  if (!rule) throw new Error("the catalogue's head has no rule of plurals that can be read");
  const told = entries.filter((one) => !one.fuzzy && one.told.every(Boolean));
  const words = Object.fromEntries(told.map((one) => [one.words, one.plural ? one.told : one.told[0]]));
  return `export const words = ${JSON.stringify(words)};\nexport const plural = (n) => Number(${rule});\n`;
}

/** For Vite: `import("….po")`. */
export function poModules() {
  return {
    name: "po",
    transform: (text, id) => (id.endsWith(".po") ? { code: moduleOf(text), map: null } : null),
  };
}
