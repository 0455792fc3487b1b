/**
 * The console's page. Its attributes: `data-kind`, `data-ticket` (URL), `data-topic` and `data-object` (the VM, live). This
 * module, and xterm.js or noVNC with it, is loaded on that page alone.
 */
import { ConsoleLink, type ConsoleState, consoleSurroundings, type Pen } from "../core/console";
import { CONSOLE_KEYS } from "../core/console-keys";
import { gettext, gettext_noop } from "../core/gettext";
import { live } from "../core/socket";
import type { ConsoleView, MakeView } from "./view";

const WORDS: Record<ConsoleState, string> = {
  connecting: gettext_noop("Connecting…"),
  open: gettext_noop("Connected"),
  off: gettext_noop("Off"),
  lost: gettext_noop("Reconnecting…"),
  ended: gettext_noop("Closed"),
};

const VIEWS: Record<string, () => Promise<MakeView>> = {
  serial: async () => (await import("./serial")).serialView,
  screen: async () => (await import("./screen")).screenView,
};

export async function consolePage(page: HTMLElement): Promise<void> {
  const part = <T extends HTMLElement>(name: string): T | null =>
    page.querySelector<T>(`[data-console-${name}]`);
  const place = part("view");
  const make = await VIEWS[page.dataset.kind ?? ""]?.();
  if (!place || !make) return;
  let isOpen = false;
  let pen: Pen | null = null;
  const view: ConsoleView = make(place, () => link);

  const enable = (): void => {
    const writes = isOpen && pen?.mine === true;
    for (const name of ["fit", "cad", "keyboard", "paste"])
      part<HTMLButtonElement>(name)?.toggleAttribute("disabled", !writes);
    for (const key of part("keys")?.querySelectorAll("button") ?? []) key.disabled = !writes;
    const take = part("take");
    if (take) take.hidden = !(isOpen && pen?.may_write && !pen.mine);
    const people = part("people");
    if (people) people.textContent = isOpen && pen ? peopleWords(pen) : "";
  };
  const link = new ConsoleLink(consoleSurroundings(page.dataset.ticket ?? "", page.dataset.kind ?? ""), {
    state: (state, words) => {
      page.dataset.state = state;
      const chip = part("state");
      if (chip) chip.textContent = gettext(WORDS[state]);
      note(part("note"), state, words, () => void link.connect());
      if (state === "open" && !isOpen) view.opened();
      if (state !== "open" && isOpen) view.closed();
      isOpen = state === "open";
      enable();
      if (isOpen && document.activeElement === document.body) view.focus();
    },
    pen: (now) => {
      pen = now;
      view.pen(now);
      enable();
    },
    scrollback: (bytes) => view.scrollback(bytes),
    skipped: (bytes) => view.skipped(bytes),
    show: (data, taken) => view.show(data, taken),
  });

  part("take")?.addEventListener("click", () => {
    link.take();
    view.focus();
  });
  pasting(page, view);
  keyBar(part("keys"), view);
  // before the terminal or noVNC, which take every key
  place.addEventListener("keydown", (event) => leave(event, page), { capture: true });
  live().join(page.dataset.topic ?? "", (change) => {
    const told = change.kind === "event" ? { [change.event.object]: change.event.data } : change.view.state;
    const vm = told[page.dataset.object ?? ""] as { state?: string } | undefined;
    if (vm?.state === "running" && link.state === "off") void link.connect();
  });
  void link.connect();
}

/** Ctrl+Shift+F6 moves the focus out, to the first control above the console. */
function leave(event: KeyboardEvent, page: HTMLElement): void {
  if (event.key !== "F6" || !event.ctrlKey || !event.shiftKey) return;
  event.preventDefault();
  event.stopPropagation();
  page.querySelector<HTMLElement>(".console-bar a, .console-bar button")?.focus();
}

/** Buttons for keys that a phone's keyboard lacks; pressing one leaves the focus, and that keyboard, where they are. */
function keyBar(place: HTMLElement | null, view: ConsoleView): void {
  for (const key of CONSOLE_KEYS) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn btn--sm";
    button.textContent = gettext(key.label);
    button.disabled = true;
    button.addEventListener("mousedown", (event) => event.preventDefault());
    button.addEventListener("click", () => view.press(key));
    place?.append(button);
  }
}

function pasting(page: HTMLElement, view: ConsoleView): void {
  const box = page.querySelector<HTMLDetailsElement>(".console-paste");
  const text = box?.querySelector("textarea");
  const said = box?.querySelector<HTMLElement>("[data-console-paste-said]");
  box?.querySelector("form")?.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (!text || !said) return;
    said.textContent = await view.type(text.value);
    if (said.textContent) return;
    text.value = "";
    box.open = false;
    view.focus();
  });
}

function note(place: HTMLElement | null, state: ConsoleState, words: string, again: () => void): void {
  if (!place) return;
  place.hidden = words === "";
  place.replaceChildren(words);
  if (state === "connecting" || state === "open" || words === "") return;
  const button = document.createElement("button");
  button.type = "button";
  button.className = "btn btn--sm";
  button.textContent = gettext("Try now");
  button.addEventListener("click", again);
  place.append(" ", button);
}

function peopleWords(pen: Pen): string {
  const others = pen.people.length - 1;
  if (pen.mine && others <= 0) return "";
  const here = others > 0 ? gettext("%(people)s are here.", { people: pen.people.join(", ") }) : "";
  const writer = pen.writer
    ? gettext("%(person)s writes.", { person: pen.writer })
    : gettext("Nobody writes.");
  return [here, pen.mine ? gettext("You write.") : writer].filter(Boolean).join(" ");
}
