/**
 * A picture of samples over time above the table that says the same in numbers. `data-source` is where they come from,
 * `data-fields` names the lines, `data-every` says how often there are new ones. uPlot is fetched by pages that draw only.
 */
import { gettext } from "../core/gettext";
import { csv, fileName, type History, quantity, summary } from "../core/series";

type Taker = (history: History) => void;

/** Charts of one page that show the same object ask once. */
const feeds = new Map<string, { takers: Set<Taker>; last: History | null }>();

export function chart(element: HTMLElement): void {
  const source = element.dataset.source ?? "";
  const names = (element.dataset.fields ?? "").split(" ").filter(Boolean);
  const stage = document.createElement("div");
  stage.className = "chart-draw";
  stage.setAttribute("aria-hidden", "true");
  element.querySelector("figcaption")?.after(stage);
  const drawing = import("./chart-draw").then(({ Drawing }) => new Drawing(stage, names));
  let shown: History | null = null;

  const stop = follow(source, Number(element.dataset.every ?? "10"), (history) => {
    if (!element.isConnected) return stop();
    shown = history;
    fillTable(element, history);
    void drawing.then((one) => one.show(history));
  });
  offerExports(element, drawing, names, () => shown);
}

function follow(source: string, everyS: number, taker: Taker): () => void {
  const feed = feeds.get(source) ?? { takers: new Set<Taker>(), last: null };
  feed.takers.add(taker);
  if (feed.last) taker(feed.last);
  if (!feeds.has(source)) {
    feeds.set(source, feed);
    const look = async (): Promise<void> => {
      if (feed.takers.size === 0) {
        feeds.delete(source);
        return;
      }
      if (!document.hidden) {
        const answer = await fetch(source, { headers: { Accept: "application/json" } }).catch(() => null);
        if (answer?.ok) {
          feed.last = (await answer.json()) as History;
          for (const one of [...feed.takers]) one(feed.last);
        }
      }
      setTimeout(() => void look(), everyS * 1000);
    };
    void look();
  }
  return () => feed.takers.delete(taker);
}

function fillTable(element: HTMLElement, history: History): void {
  for (const line of history.lines) {
    const row = element.querySelector<HTMLElement>(`tr[data-line="${line.name}"]`);
    if (!row) continue;
    const known = summary(line);
    for (const cell of row.querySelectorAll<HTMLElement>("[data-show]"))
      cell.textContent = quantity(known[cell.dataset.show as keyof typeof known], line.unit);
  }
}

/** What the table calls a line, in the page's language. */
function wordsIn(element: HTMLElement, name: string): string {
  return element.querySelector(`tr[data-line="${name}"] th`)?.textContent?.trim() ?? name;
}

function offerExports(
  element: HTMLElement,
  drawing: Promise<{ picture: (title: string, words: (name: string) => string) => HTMLCanvasElement | null }>,
  names: string[],
  shown: () => History | null,
): void {
  const title = element.querySelector("figcaption")?.textContent?.trim() ?? "chart";
  const place = document.createElement("span");
  place.className = "end";
  const offer = (words: string, make: () => Promise<Blob | null>): void => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn btn--sm btn--ghost";
    button.textContent = words;
    button.setAttribute("aria-label", gettext("%(title)s as %(format)s", { title, format: words }));
    button.addEventListener("click", async () => {
      const made = await make();
      if (made) save(made, `${fileName(title)}.${words.toLowerCase()}`);
    });
    place.append(button);
  };
  offer("CSV", async () => {
    const history = shown();
    return history && new Blob([csv(history, names)], { type: "text/csv" });
  });
  offer("PNG", async () => {
    const canvas = (await drawing).picture(title, (name) => wordsIn(element, name));
    return canvas && new Promise((resolve) => canvas.toBlob(resolve));
  });
  element.querySelector("figcaption")?.append(place);
}

export function save(content: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(content);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
