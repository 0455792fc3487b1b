/** The page's time zone (`data-zone` of its root), and times as people read them in it; a worker, or a test, has UTC. */

const COOKIE = "time_zone";

export function pageZone(): string {
  return (typeof document !== "undefined" && document.documentElement.dataset.zone) || "UTC";
}

/** Tells the server the browser's own zone, for who has chosen none: by a cookie, so that the next page is right already. */
export function tellZone(): void {
  const own = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (!own || document.cookie.split("; ").includes(`${COOKIE}=${own}`)) return;
  const secure = location.protocol === "https:" ? "; secure" : "";
  // biome-ignore lint/suspicious/noDocumentCookie: the Cookie Store API is not in every browser that we support
  document.cookie = `${COOKIE}=${own}; path=/; max-age=31536000; samesite=lax${secure}`;
}

/** `14:03:12` */
export function clock(at: string | Date, zone = pageZone()): string {
  return format("en-GB", zone, { hour: "2-digit", minute: "2-digit", second: "2-digit" }, at);
}

/** `14:03` */
export function hourAndMinute(at: Date, zone = pageZone()): string {
  return format("en-GB", zone, { hour: "2-digit", minute: "2-digit" }, at);
}

/** `26 Nov`, in the page's language. */
export function dayAndMonth(at: Date, zone = pageZone(), language = pageLanguage()): string {
  return format(language, zone, { day: "numeric", month: "short" }, at);
}

/** As `Intl` takes it; English is Britain's, whose dates begin with the day. */
export function pageLanguage(): string {
  const told = (typeof document !== "undefined" && document.documentElement.lang) || "en";
  return told === "en" ? "en-GB" : told;
}

const made = new Map<string, Intl.DateTimeFormat>();

function format(
  language: string,
  timeZone: string,
  parts: Intl.DateTimeFormatOptions,
  at: string | Date,
): string {
  const key = `${language} ${timeZone} ${Object.keys(parts).join()}`;
  const how = made.get(key) ?? new Intl.DateTimeFormat(language, { ...parts, hourCycle: "h23", timeZone });
  made.set(key, how);
  return how.format(new Date(at));
}
