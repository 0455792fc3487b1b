/**
 * Editing a board: a widget is dragged by its grip, or moved by the grip's arrow keys; Shift with left and right changes
 * its width. What the page then shows is kept at once, by the same form that the buttons of a page without script post.
 */
import { gettext } from "../core/gettext";

const WIDTHS = [3, 4, 6, 8, 12];

export function board(element: HTMLElement): void {
  offerFullScreen();
  if (!element.dataset.change) return;
  for (const grip of element.querySelectorAll<HTMLElement>("[data-grip]")) {
    grip.hidden = false;
    grip.addEventListener("keydown", (event) => onKey(element, grip, event));
    grip.addEventListener("pointerdown", (event) => onDrag(element, grip, event));
  }
}

function onKey(element: HTMLElement, grip: HTMLElement, event: KeyboardEvent): void {
  const widget = widgetOf(grip);
  const step = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 }[event.key];
  if (!widget || !step) return;
  event.preventDefault();
  if (event.shiftKey) {
    const at = WIDTHS.indexOf(Number(widget.dataset.width)) + step;
    const width = WIDTHS[Math.max(0, Math.min(at, WIDTHS.length - 1))] ?? 12;
    widget.classList.replace(`c${widget.dataset.width}`, `c${width}`);
    widget.dataset.width = String(width);
  } else if (step < 0) widget.previousElementSibling?.before(widget);
  else widget.nextElementSibling?.after(widget);
  grip.focus();
  widget.scrollIntoView({ block: "nearest" });
  said(element, widget);
  keepSoon(element);
}

function onDrag(element: HTMLElement, grip: HTMLElement, down: PointerEvent): void {
  const widget = widgetOf(grip);
  if (!widget || down.button !== 0) return;
  down.preventDefault();
  widget.classList.add("w--held");
  const before = order(element).join();

  const onMove = (move: PointerEvent): void => {
    const under = document
      .elementsFromPoint(move.clientX, move.clientY)
      .map((one) => one.closest<HTMLElement>("[data-widget]"))
      .find((one) => one && one !== widget && element.contains(one));
    if (!under) return;
    const box = under.getBoundingClientRect();
    const beside = box.width < element.clientWidth * 0.9;
    const isLater = beside
      ? move.clientX > box.left + box.width / 2
      : move.clientY > box.top + box.height / 2;
    if (isLater) under.after(widget);
    else under.before(widget);
  };
  const end = new AbortController();
  const onUp = (): void => {
    end.abort();
    widget.classList.remove("w--held");
    if (order(element).join() === before) return;
    said(element, widget);
    keepSoon(element);
  };
  // on the window: an element that moves within the page loses the pointer that it had captured
  const options = { signal: end.signal };
  window.addEventListener("pointermove", onMove, options);
  window.addEventListener("pointerup", onUp, options);
  window.addEventListener("pointercancel", onUp, options);
}

function widgetOf(grip: HTMLElement): HTMLElement | null {
  return grip.closest<HTMLElement>("[data-widget]");
}

function order(element: HTMLElement): string[] {
  const widgets = element.querySelectorAll<HTMLElement>("[data-widget]");
  return [...widgets].map((widget) => `${widget.dataset.widget}:${widget.dataset.width}`);
}

function said(element: HTMLElement, widget: HTMLElement): void {
  const all = [...element.querySelectorAll("[data-widget]")];
  const place = document.querySelector("[data-board-said]");
  if (place)
    place.textContent = gettext("%(widget)s: place %(place)s of %(places)s, %(width)s columns wide", {
      widget: widget.getAttribute("aria-label") ?? "",
      place: all.indexOf(widget) + 1,
      places: all.length,
      width: widget.dataset.width ?? "",
    });
}

const waiting = new WeakMap<HTMLElement, number>();

/** Keys come fast: what they end in is kept. */
function keepSoon(element: HTMLElement): void {
  clearTimeout(waiting.get(element));
  element.dataset.kept = "no";
  waiting.set(
    element,
    window.setTimeout(() => void keep(element), 250),
  );
}

async function keep(element: HTMLElement): Promise<void> {
  const token = element.querySelector<HTMLInputElement>("input[name=csrfmiddlewaretoken]")?.value ?? "";
  const body = new URLSearchParams({
    act: "order",
    order: order(element).join(" "),
    csrfmiddlewaretoken: token,
  });
  const answer = await fetch(element.dataset.change ?? "", {
    method: "POST",
    body,
    redirect: "manual",
  }).catch(() => null);
  // a redirect is the form's own answer to a change that was kept
  if (answer && (answer.ok || answer.type === "opaqueredirect")) element.dataset.kept = "yes";
  else location.reload();
}

function offerFullScreen(): void {
  const link = document.querySelector<HTMLAnchorElement>("[data-full-screen]");
  if (document.body.classList.contains("app--tv")) {
    document.addEventListener(
      "click",
      () => void document.documentElement.requestFullscreen?.().catch(() => {}),
      {
        once: true,
      },
    );
  }
  link?.setAttribute(
    "title",
    gettext("Without navigation, for a screen on the wall; click once on it to fill the screen"),
  );
}
