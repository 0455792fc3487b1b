/**
 * The create form: while fields change, the server answers what they would do (quota, host, command) and what is wrong
 * with them, into `[data-effect]`. Ctrl+Enter submits.
 */
const PAUSE_MS = 120;
const ASKED = ["name", "image", "flavor", "network", "address"];

export function vmCreate(form: HTMLElement): void {
  const effect = document.querySelector<HTMLElement>("[data-effect]");
  if (!(form instanceof HTMLFormElement) || !effect) return;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let asked = 0;

  const look = async (): Promise<void> => {
    const mine = ++asked;
    const answer = await fetch(`${effect.dataset.effect}?${questionOf(form)}`);
    if (!answer.ok || mine !== asked) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    effect.replaceChildren(...page.body.childNodes);
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => void look(), PAUSE_MS);
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  form.addEventListener("submit", () => {
    const button = form.querySelector<HTMLButtonElement>("button.btn--pri");
    if (button) setTimeout(() => button.setAttribute("disabled", ""));
  });
  window.addEventListener("pageshow", () =>
    form.querySelector("button.btn--pri")?.removeAttribute("disabled"),
  );
}

export function questionOf(form: HTMLFormElement): string {
  const given = new FormData(form);
  const pairs = ASKED.map((name) => [name, String(given.get(name) ?? "").slice(0, 200)]);
  return new URLSearchParams(pairs).toString();
}
