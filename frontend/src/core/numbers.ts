/** Numbers in the page's language: its decimal sign, its groups of thousands. What programs read is not made here. */
import { pageLanguage } from "./zone";

const made = new Map<string, Intl.NumberFormat>();

/** `1.5`, in Russian `1,5`: with exactly so many digits after the sign. */
export function decimal(value: number, digits: number): string {
  return format(value, { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false });
}

/** `0.25`, `12.3`, `123`: so many digits that count, and no zeros that do not. */
export function significant(value: number, digits: number): string {
  return format(value, { maximumSignificantDigits: digits, useGrouping: false });
}

/** `12,345`, in Russian `12 345`. */
export function grouped(value: number, mostDigits = 0): string {
  return format(value, { maximumFractionDigits: mostDigits });
}

function format(value: number, how: Intl.NumberFormatOptions): string {
  const language = pageLanguage();
  const key = `${language} ${JSON.stringify(how)}`;
  const known = made.get(key) ?? new Intl.NumberFormat(language, how);
  made.set(key, known);
  return known.format(value);
}
