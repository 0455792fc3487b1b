/** Loads the console's own chunk where there is one. */
export function console(element: HTMLElement): void {
  void import("../console/console").then(({ consolePage }) => consolePage(element));
}
