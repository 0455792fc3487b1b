/** The islands' words, found in their syntax trees: what is marked for the catalogue, and what somebody would read and is not. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { join, relative } from "node:path";
import { parse } from "svelte/compiler";

const SOURCES = "src"; // whoever asks stands in frontend/
const MARKS = { gettext: 1, gettext_noop: 1, ngettext: 2 };
const SPOKEN = new Set(["aria-label", "aria-valuetext", "title", "placeholder", "alt"]);
const SILENT = new Set(["code", "pre", "kbd", "style"]);
const SKIPPED = new Set(["loc", "typeAnnotation", "typeParameters", "typeArguments", "comments", "css", "parent"]);
/** Names and terms that are the same in each language. */
const SAME = new Set(
  "ARP CSV Esc GiB IP IPv JSON LLDP MAC MiB MTU NAT NIC NICs OVS Open PNG RAM TCP UDP VLAN VNI VXLAN Geneve ICMP Eth nbsp vSwitch B s vCPU ms µs px udp Enter cookie mtu".split(" "),
);
const LETTERS = /[A-Za-zµ]{2,}/g;
/** Two words in a row, or one that begins a sentence: what a name, a key or a class hardly is. */
const LIKE_WORDS = /[A-Za-z]{2,}[,:;]? (?:[a-z]{2,}|$)|^ ?[A-Z][a-z]+(?:[ .…!?]|$)|^ (?:[a-z]{2,} )+|…/;
/** What only looks so: commands of a host, fonts, selectors, keys of a keyboard, errors that no page shows. */
const TECHNICAL =
  /^(?:virsh|ovs-|ip -d|ip netns|lldpctl|stty|ticket:|snapshot of|\(prefers|; path=)|\bpx\b|^btn |^chip |^muted |console-bar|input, |^[a-z]+(?:, [a-z[\].]+)+$|^(?:Arrow|Shift|Enter$|Escape$)|netdev \(|Error$|^Hopsight-|application\/json|^this browser draws| cols $|^udp\/4789|^ \/ span |^, minmax|^ 8px $|^(?:priority|actions)=$/;

/** Every source file that a page may load: `[path, text]`. */
export function sources() {
  return filesOf(SOURCES).map((path) => [relative(SOURCES, path), readFileSync(path, "utf8")]);
}

function filesOf(folder) {
  return readdirSync(folder, { withFileTypes: true }).flatMap((one) => {
    const path = join(folder, one.name);
    if (one.isDirectory()) return one.name === "bench" ? [] : filesOf(path);
    return /\.(ts|svelte)$/.test(path) && !/\.(test|d)\.ts$/.test(path) ? [path] : [];
  });
}

/** Words that look unmarked and are not to be: marked elsewhere, or names that are not drawn. */
const ELSEWHERE = {
  "core/topology/cards.ts": ["Guests", "Taps", "Bridge", "Tunnels"],
  "core/topology/words.ts": ["Tap", "Port"],
};

/** What a file marks, and what it leaves unmarked: `{ marked: [[one, many?]], unmarked: [words] }`. */
export function wordsOf(path, text) {
  const source = path.endsWith(".svelte") ? text : `<script lang="ts">${text}\n</script>`;
  const marked = [];
  const unmarked = [];
  walk(parse(source, { modern: true }), [], (node, parents) => {
    const call = node.type === "CallExpression" ? MARKS[node.callee.name] : undefined;
    if (call) {
      const given = node.arguments.slice(0, call);
      if (given.every((one) => one.type === "Literal")) marked.push(given.map((one) => one.value));
      return given.some((one) => one.type === "Literal"); // its words are seen to
    }
    const words = unmarkedOf(node, parents);
    if (words && !ELSEWHERE[path]?.includes(words)) unmarked.push(words);
    return false;
  });
  return { marked, unmarked };
}

function unmarkedOf(node, parents) {
  const parent = parents.at(-1);
  if (node.type === "Text") {
    const attribute = parents.findLast((one) => one.type === "Attribute");
    if (attribute && !SPOKEN.has(attribute.name)) return "";
    if (parents.some((one) => one.type === "RegularElement" && SILENT.has(one.name))) return "";
    return has(node.data) && !TECHNICAL.test(node.data) ? node.data.trim() : "";
  }
  const text = node.type === "TemplateElement" ? node.value.cooked : node.type === "Literal" ? node.value : null;
  if (typeof text !== "string" || !has(text)) return "";
  if (["ImportDeclaration", "BinaryExpression", "TSLiteralType", "ImportExpression"].includes(parent?.type)) return "";
  const attribute = parents.findLast((one) => one.type === "Attribute");
  if (attribute && SPOKEN.has(attribute.name)) return text.trim();
  if (attribute) return "";
  return LIKE_WORDS.test(text) && !TECHNICAL.test(text) ? text.trim() : "";
}

function has(text) {
  return (text.match(LETTERS) ?? []).some((word) => !SAME.has(word));
}

/** Visits every node with the nodes above it; what `visit` says true of has its arguments' literals left out. */
function walk(node, parents, visit) {
  if (Array.isArray(node)) {
    for (const one of node) walk(one, parents, visit);
    return;
  }
  if (node === null || typeof node !== "object") return;
  let skipped = false;
  let below = parents;
  if (typeof node.type === "string") {
    skipped = visit(node, parents);
    below = [...parents, node];
  }
  for (const [name, child] of Object.entries(node)) {
    if (SKIPPED.has(name)) continue;
    if (skipped && name === "arguments") walk(child.filter((one) => one.type !== "Literal"), below, visit);
    else walk(child, below, visit);
  }
}

/** All marked words as a gettext template, in the order of files and places, each once. */
export function template() {
  const seen = new Map();
  for (const [path, text] of sources()) for (const [one, many] of wordsOf(path, text).marked) if (!seen.get(one)) seen.set(one, many);
  const head = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n';
  const entries = [...seen].map(([one, many]) => {
    const flag = one.includes("%(") ? "#, python-format\n" : "";
    const plural = many ? `msgid_plural ${JSON.stringify(many)}\nmsgstr[0] ""\nmsgstr[1] ""\n` : 'msgstr ""\n';
    return `${flag}msgid ${JSON.stringify(one)}\n${plural}`;
  });
  return [head, ...entries].join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url)) process.stdout.write(template());
