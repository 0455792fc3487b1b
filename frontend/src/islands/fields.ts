/** Writes an object's values into server-rendered elements: `[data-object="vm:…"] [data-field="state"]`. */
import { gettext } from "../core/gettext";
import { decimal } from "../core/numbers";

function lookUp(data: unknown, path: string): unknown {
  let value: unknown = data;
  for (const part of path.split(".")) {
    if (value === null || typeof value !== "object") return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return value;
}

function textOf(value: unknown): string {
  if (value === null || value === undefined) return "";
  return typeof value === "object" ? "" : String(value);
}

/** A state of a kind of object ("vm", "operation") in the page's language; the page has them where that is not English. */
function translated(kind: string, state: string): string | undefined {
  const words = document.getElementById("state-words")?.textContent;
  return words ? (JSON.parse(words) as Record<string, Record<string, string>>)[kind]?.[state] : undefined;
}

/** `0.81 s`, which is said in English while it is live, in the page's language. */
function inSeconds(text: string): string {
  const number = /^(\d+\.(\d+)) s$/.exec(text);
  if (!number) return text;
  return gettext("%(number)s s", { number: decimal(Number(number[1]), number[2]?.length ?? 0) });
}

export function rowsOf(root: ParentNode, object: string): HTMLElement[] {
  return [...root.querySelectorAll<HTMLElement>("[data-object]")].filter(
    (row) => row.dataset.object === object,
  );
}

/**
 * Sets text and state classes of one row. `data-field` names the value, `data-label` one to read instead of it
 * (`state_label`), and an element with `data-state` carries the value as that attribute, for its colour.
 */
export function fillRow(row: HTMLElement, data: unknown): void {
  const fields = [...row.querySelectorAll<HTMLElement>("[data-field]")];
  if (row.dataset.field) fields.push(row);
  for (const element of fields) {
    const name = element.dataset.field ?? "";
    const value = lookUp(data, name);
    if (value === undefined) continue;
    const before = element.dataset.state;
    if (before !== undefined) {
      element.dataset.state = textOf(value);
      swapClass(element, before, textOf(value));
    }
    const kind = (row.closest<HTMLElement>("[data-object]")?.dataset.object ?? "").split(":")[0] ?? "";
    const own = name === "state" ? translated(kind, textOf(value)) : undefined;
    const words = own ?? lookUp(data, `${name}_label`) ?? lookUp(data, `${name}_display`) ?? value;
    const told = inSeconds(textOf(words));
    const text = element.hasAttribute("data-capital") ? capital(told) : told;
    if (toldByServer(element, text)) continue;
    if (element.childElementCount === 0 && element.textContent !== text) element.textContent = text;
  }
}

/**
 * Whether the text is a sentence that the server tells in the page's language: what is live is English. `data-told` names the
 * place, `data-english` is what it shows now in English; where that changes, the page is asked for what it is told as.
 */
function toldByServer(element: HTMLElement, text: string): boolean {
  const { told, english } = element.dataset;
  if (told === undefined || text === "" || document.documentElement.lang === "en") return false;
  if (english !== text) {
    element.dataset.english = text;
    tellAgain();
  }
  return true;
}

const GATHER_MS = 120;
const REST_SHARE = 4; // at most a fifth of the time is spent asking
let isAsked = false;
let restUntil = 0;

function tellAgain(): void {
  if (isAsked) return;
  isAsked = true;
  setTimeout(() => void tell(), Math.max(GATHER_MS, restUntil - performance.now()));
}

async function tell(): Promise<void> {
  isAsked = false;
  const began = performance.now();
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (answer.ok) {
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const fresh = new Map(
      [...page.querySelectorAll<HTMLElement>("[data-told]")].map((one) => [
        one.dataset.told,
        one.textContent,
      ]),
    );
    for (const one of document.querySelectorAll<HTMLElement>("[data-told]")) {
      const text = fresh.get(one.dataset.told);
      if (text !== undefined && one.textContent !== text) one.textContent = text;
    }
  }
  const now = performance.now();
  restUntil = now + REST_SHARE * (now - began);
}

function swapClass(element: HTMLElement, before: string, after: string): void {
  for (const name of [...element.classList]) {
    if (name.endsWith(`--${before}`))
      element.classList.replace(name, `${name.slice(0, -before.length)}${after}`);
  }
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Replaces the content of an island by what the server renders now at this page's address. */
export async function renderAgain(
  element: HTMLElement,
  url: string = location.href,
): Promise<HTMLElement | null> {
  const answer = await fetch(url, { headers: { Accept: "text/html" } });
  if (!answer.ok) return null;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const alike = `[data-island="${element.dataset.island}"]`;
  const place = [...document.querySelectorAll(alike)].indexOf(element);
  const fresh = element.id
    ? page.getElementById(element.id)
    : page.querySelectorAll<HTMLElement>(alike)[place];
  if (!fresh) return null;
  element.replaceChildren(...fresh.childNodes);
  return fresh;
}
