/** What a flow is there for, in the page's language: the live topic has the English words, one topic for readers of each language. */
import { gettext, gettext_noop } from "./gettext";

/** The forms of `portal.networks.causes`, the more particular ones first. */
const CAUSES = forms([
  gettext_noop("Hopsight's own pipeline, the same on every host"),
  gettext_noop("A packet capture that is under way: it copies, and ends by itself"),
  gettext_noop("Port of %(name)s (%(address)s) on %(network)s"),
  gettext_noop("Network %(network)s, untagged on br-ex"),
  gettext_noop("Network %(network)s, VLAN %(vlan)s on br-ex"),
  gettext_noop("Network %(name)s, %(carrier)s"),
  gettext_noop("External network %(network)s, %(cidr)s"),
  gettext_noop("Router %(router)s, outside by %(host)s"),
  gettext_noop("Router %(name)s"),
  gettext_noop("Floating address %(floating)s of %(name)s (%(address)s)"),
  gettext_noop("Floating address %(floating)s"),
  gettext_noop("Mirror of %(one)s to %(two)s: what it sends and receives"),
  gettext_noop("Mirror of %(one)s to %(two)s: what it sends"),
  gettext_noop("Mirror of %(one)s to %(two)s: what it receives"),
  gettext_noop("Rule “%(rule)s” of group %(group)s"),
  gettext_noop("Rules of group %(group)s"),
]);
const RULES = forms([
  gettext_noop("%(asked)s from anywhere"),
  gettext_noop("%(asked)s to anywhere"),
  gettext_noop("%(asked)s from members of the same group"),
  gettext_noop("%(asked)s to members of the same group"),
  gettext_noop("%(asked)s from members of %(group)s"),
  gettext_noop("%(asked)s to members of %(group)s"),
  gettext_noop("%(asked)s from %(cidr)s"),
  gettext_noop("%(asked)s to %(cidr)s"),
]);
const SERVICES = forms([
  gettext_noop("any protocol over IPv6"),
  gettext_noop("any protocol"),
  gettext_noop("%(asked)s over IPv6"),
]);
/** What a place holds that is words itself. */
const SAID: Record<string, Form[]> = { rule: RULES, asked: SERVICES };

interface Form {
  words: string;
  pattern: RegExp;
}

/** The cause told; itself where nobody has a form for it. */
export function causeWords(cause: string): string {
  return told(CAUSES, cause);
}

function told(among: Form[], text: string): string {
  for (const { words, pattern } of among) {
    const found = pattern.exec(text);
    if (!found) continue;
    const values = Object.entries(found.groups ?? {}).map(([name, value]) => [
      name,
      told(SAID[name] ?? [], value),
    ]);
    return gettext(words, Object.fromEntries(values));
  }
  return text;
}

function forms(all: string[]): Form[] {
  return all.map((words) => {
    const parts = words.split(/%\((\w+)\)s/); // text, name, text, name, …
    const source = parts.map((part, at) =>
      at % 2 ? `(?<${part}>.+?)` : part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"),
    );
    return { words, pattern: new RegExp(`^${source.join("")}$`) };
  });
}
