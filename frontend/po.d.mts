export interface PoEntry {
  words: string;
  plural: string;
  told: string[];
  fuzzy: boolean;
}
export function parsePo(text: string): { head: string; entries: PoEntry[] };
export function moduleOf(text: string): string;
export function poModules(): { name: string; transform: (text: string, id: string) => unknown };
