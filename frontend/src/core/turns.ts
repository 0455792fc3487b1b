/**
 * Work that must not overlap itself: asked again while under way, it runs once more afterwards; once it answered true it
 * is over and never runs again.
 */
export function inTurn(work: () => Promise<boolean>): () => void {
  let over = false;
  let running = false;
  let again = false;
  const ask = (): void => {
    if (over) return;
    again = running;
    if (running) return;
    running = true;
    void work()
      .catch(() => false)
      .then((done) => {
        running = false;
        over = done;
        if (again) ask();
      });
  };
  return ask;
}
