/** How islands ask the API for what they show: it speaks English to programs, and the page's language to who names it. */
export function pageHeaders(): Record<string, string> {
  return { Accept: "application/json", "Hopsight-Language": document.documentElement.lang || "en" };
}
