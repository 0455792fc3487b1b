/**
 * The create form: while fields change, the server answers what they would do (quota, host, command) and what is wrong
 * with them, into `[data-effect]`. Ctrl+Enter submits. A snippet that is chosen fills the user-data, unless that was
 * written by hand.
 */
const PAUSE_MS = 120;

export function vmCreate(form: HTMLElement): void {
  const effect = document.querySelector<HTMLElement>("[data-effect]");
  if (!(form instanceof HTMLFormElement) || !effect) return;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let asked = 0;

  const look = async (): Promise<void> => {
    const mine = ++asked;
    const answer = await fetch(effect.dataset.effect ?? "", { method: "POST", body: questionOf(form) });
    if (!answer.ok || mine !== asked) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    effect.replaceChildren(...page.body.childNodes);
  };
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(() => void look(), PAUSE_MS);
  });
  fillFromSnippets(form);
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

/** The form as it is, without the pasted key: looking stores nothing. */
export function questionOf(form: HTMLFormElement): FormData {
  const given = new FormData(form);
  given.delete("new_key");
  return given;
}

function fillFromSnippets(form: HTMLFormElement): void {
  const chosen = form.querySelector<HTMLSelectElement>("#snippet");
  const text = form.querySelector<HTMLTextAreaElement>("#user_data");
  if (!chosen || !text) return;
  let filled = "";
  chosen.addEventListener("change", () => {
    const fresh = chosen.selectedOptions[0]?.dataset.text ?? "";
    if (text.value.trim() === "" || text.value === filled) {
      text.value = fresh;
      filled = fresh;
    }
  });
}
