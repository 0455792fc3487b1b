// Theme: follow the system until the person picks one. Loaded before the page paints.
(() => {
  const root = document.documentElement;
  const asked = new URLSearchParams(location.search).get("theme");
  let kept = null;
  try { kept = localStorage.getItem("theme"); } catch { /* private windows have no storage */ }
  if (["light", "dark"].includes(asked || kept)) root.dataset.theme = asked || kept;
  const closeMenus = (except) => {
    for (const menu of document.querySelectorAll("details[data-menu][open]")) if (!menu.contains(except)) menu.open = false;
  };
  document.addEventListener("keydown", (event) => {
    const open = document.querySelector("details[data-menu][open]");
    if (event.key !== "Escape" || !open) return;
    closeMenus(null);
    open.querySelector("summary").focus();
  });
  document.addEventListener("click", (event) => {
    closeMenus(event.target);
    const copy = event.target.closest("[data-copy]");
    if (copy) {
      navigator.clipboard?.writeText(copy.dataset.copy).then(() => copy.setAttribute("data-copied", ""));
      return;
    }
    if (!event.target.closest("[data-theme-switch]")) return;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("theme", root.dataset.theme); } catch { /* the choice lasts for this page */ }
  });
})();
