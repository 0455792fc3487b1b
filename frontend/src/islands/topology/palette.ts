/** The page's colours and fonts as a canvas needs them: resolved, again after each change of the theme. */

const NAMES = [
  "surface",
  "surface-2",
  "bg",
  "hover",
  "line",
  "line-strong",
  "text",
  "text-2",
  "text-3",
  "accent",
  "accent-weak",
  "v-delivered",
  "v-dropped",
  "v-dropped-bg",
  "v-flooded",
  "v-flooded-bg",
  "v-flooded-line",
  "v-unknown",
  "l-guest",
  "l-guest-bg",
  "l-guest-line",
  "l-host",
  "l-host-bg",
  "l-host-line",
  "l-overlay",
  "l-overlay-bg",
  "l-overlay-line",
  "l-underlay",
  "l-underlay-bg",
  "l-underlay-line",
] as const;

export type ColourName = (typeof NAMES)[number];

export interface Palette {
  colour: Record<ColourName, string>;
  ui: string;
  mono: string;
}

export function readPalette(element: HTMLElement): Palette {
  const probe = document.createElement("span");
  probe.hidden = true;
  element.append(probe);
  const colour = {} as Record<ColourName, string>;
  for (const name of NAMES) {
    probe.style.color = `var(--${name})`;
    colour[name] = getComputedStyle(probe).color;
  }
  const fonts = ["var(--font-ui)", "var(--font-mono)"].map((family) => {
    probe.style.fontFamily = family;
    return getComputedStyle(probe).fontFamily;
  });
  probe.remove();
  return { colour, ui: fonts[0] ?? "sans-serif", mono: fonts[1] ?? "monospace" };
}

/** Calls back when the theme changed, by the page's switch or the system's; returns how to end that. */
export function onTheme(callback: () => void): () => void {
  const observer = new MutationObserver(callback);
  observer.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  const system = matchMedia("(prefers-color-scheme: dark)");
  system.addEventListener("change", callback);
  return () => {
    observer.disconnect();
    system.removeEventListener("change", callback);
  };
}
