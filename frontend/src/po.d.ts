declare module "*.po" {
  export const words: Record<string, string | readonly string[]>;
  export const plural: (count: number) => number;
}
