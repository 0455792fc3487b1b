/**
 * The command palette: Ctrl-K searches everything that the person may see, “?” shows the keys, letters go to pages.
 * The element is a link to the search page, which does the same without script; `data-search` is what is asked.
 */
import { pageHeaders } from "../core/ask";
import { gettext } from "../core/gettext";
import { type Heard, meaningOf } from "../core/keys";

interface Found {
  kind: string;
  title: string;
  detail: string;
  url: string;
  icon: string;
  keys: string;
  post: boolean;
}

const GATHER_MS = 80;

export function palette(element: HTMLElement): void {
  const ask = asker(element.dataset.search ?? "");
  const known = (element.dataset.keys ?? "").split(",").filter(Boolean);
  let heard: Heard = { first: "", at: 0 };
  let open: Palette | null = null;
  const show = (text = ""): void => {
    if (open?.dialog.open) return;
    open = new Palette(ask);
    open.show(text);
  };
  element.addEventListener("click", (event) => {
    event.preventDefault();
    show();
  });
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented) return;
    const target = event.target as HTMLElement | null;
    const typing = !!target?.closest("input, textarea, select, [contenteditable], .xterm, canvas, dialog");
    const { key, ctrlKey, metaKey, altKey } = event;
    const [meaning, next] = meaningOf(
      { key, ctrlKey, metaKey, altKey, typing },
      heard,
      known,
      event.timeStamp,
    );
    heard = next;
    if (!meaning) return;
    event.preventDefault();
    if (meaning.kind === "palette") show();
    else if (meaning.kind === "help") location.assign(`${element.getAttribute("href")}#keyboard`);
    else
      void ask("").then((all) => {
        const wanted = all.find((one) => one.keys === meaning.keys);
        if (wanted) go(wanted);
      });
  });
}

/** Asks the server; an answer that comes after a younger question's is nobody's. */
function asker(url: string): (text: string) => Promise<Found[]> {
  return async (text) => {
    const answer = await fetch(`${url}?q=${encodeURIComponent(text)}`, { headers: pageHeaders() });
    return answer.ok ? ((await answer.json()) as Found[]) : [];
  };
}

function go(found: Found): void {
  if (!found.post) {
    location.assign(found.url);
    return;
  }
  const form = document.createElement("form");
  form.method = "post";
  form.action = found.url;
  const token = document.querySelector<HTMLInputElement>("input[name=csrfmiddlewaretoken]");
  if (token) form.append(token.cloneNode() as HTMLInputElement);
  document.body.append(form);
  form.submit();
}

class Palette {
  dialog = document.createElement("dialog");
  private input = document.createElement("input");
  private list = document.createElement("ul");
  private said = document.createElement("p");
  private found: Found[] = [];
  private at = 0;
  private turn = 0;
  private timer = 0;

  constructor(private ask: (text: string) => Promise<Found[]>) {
    this.dialog.className = "pal";
    this.dialog.setAttribute("aria-label", gettext("Search"));
    Object.assign(this.input, { type: "text", className: "pal-q", autocomplete: "off", spellcheck: false });
    this.input.placeholder = gettext("VM, address, network, page, action…");
    for (const [name, value] of Object.entries({
      role: "combobox",
      "aria-expanded": "true",
      "aria-controls": "pal-list",
      "aria-autocomplete": "list",
      "aria-label": gettext("Search everything"),
    }))
      this.input.setAttribute(name, value);
    this.list.id = "pal-list";
    this.list.className = "pal-list";
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", gettext("Results"));
    this.said.className = "vh";
    this.said.setAttribute("role", "status");
    this.dialog.append(this.input, this.list, this.said);
    this.input.addEventListener("input", () => this.soon());
    this.dialog.addEventListener("keydown", (event) => this.onKey(event));
    this.dialog.addEventListener("close", () => this.dialog.remove());
    this.dialog.addEventListener("click", (event) => {
      if (event.target === this.dialog) this.dialog.close();
    });
  }

  show(text: string): void {
    document.body.append(this.dialog);
    this.input.value = text;
    this.dialog.showModal();
    this.input.focus();
    void this.look();
  }

  private soon(): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.look(), GATHER_MS);
  }

  private async look(): Promise<void> {
    this.turn += 1;
    const turn = this.turn;
    const found = await this.ask(this.input.value).catch(() => []);
    if (turn !== this.turn) return;
    this.found = found;
    this.at = 0;
    this.list.replaceChildren(...found.map((one, at) => this.row(one, at)));
    this.mark();
    this.said.textContent =
      found.length > 0 ? gettext("%(count)s found", { count: found.length }) : gettext("Nothing found");
    if (found.length === 0) {
      const none = document.createElement("li");
      none.className = "empty";
      none.textContent = gettext("Nothing is called so.");
      this.list.append(none);
    }
  }

  private row(found: Found, at: number): HTMLElement {
    const row = document.createElement("li");
    row.id = `pal-${at}`;
    row.setAttribute("role", "option");
    const text = (className: string, words: string): HTMLElement => {
      const part = document.createElement("span");
      part.className = className;
      part.textContent = words;
      return part;
    };
    const icon = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    icon.setAttribute("class", "i");
    icon.setAttribute("aria-hidden", "true");
    const use = document.createElementNS("http://www.w3.org/2000/svg", "use");
    use.setAttribute("href", `#i-${found.icon}`);
    icon.append(use);
    row.append(icon, text("med", found.title), text("muted sm clip grow", found.detail));
    for (const key of found.keys.split(" ").filter(Boolean)) {
      const cap = document.createElement("kbd");
      cap.textContent = key;
      row.append(cap);
    }
    row.append(text("muted sm", found.kind));
    row.addEventListener("click", () => go(found));
    row.addEventListener("pointermove", () => {
      if (this.at === at) return;
      this.at = at;
      this.mark();
    });
    return row;
  }

  private onKey(event: KeyboardEvent): void {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const chosen = this.found[this.at];
    if (step && this.found.length > 0) {
      event.preventDefault();
      this.at = (this.at + step + this.found.length) % this.found.length;
      this.mark();
    } else if (event.key === "Enter" && chosen) {
      event.preventDefault();
      go(chosen);
    }
  }

  private mark(): void {
    [...this.list.children].forEach((row, at) => {
      row.setAttribute("aria-selected", String(at === this.at));
      if (at === this.at) row.scrollIntoView({ block: "nearest" });
    });
    if (this.found.length > 0) this.input.setAttribute("aria-activedescendant", `pal-${this.at}`);
    else this.input.removeAttribute("aria-activedescendant");
  }
}
