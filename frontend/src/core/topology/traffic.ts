/** Traffic as width, and as words. */
import { gettext, gettext_noop } from "../gettext";
import { decimal } from "../numbers";

/** 1 px for silence, then three more for each factor of ten above 100 kbit/s. */
export function widthOf(bps: number): number {
  return bps <= 0 ? 1 : Math.min(12, 1.2 + 2.2 * Math.log10(1 + bps / 1e5));
}

const UNITS = [
  gettext_noop("bit/s"),
  gettext_noop("kbit/s"),
  gettext_noop("Mbit/s"),
  gettext_noop("Gbit/s"),
  gettext_noop("Tbit/s"),
];

export function bitsText(bps: number): string {
  let [value, unit] = [bps, 0];
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${decimal(value, value < 10 && unit > 0 ? 1 : 0)} ${gettext(UNITS[unit] ?? "")}`;
}
