export function sources(): [path: string, text: string][];
export function wordsOf(
  path: string,
  text: string,
): { marked: [words: string, many?: string][]; unmarked: string[] };
