/**
 * Shows what running guests' screens show: each element with `data-screen` (the picture's address) inside of the island gets
 * the picture while it is in view, `data-alt` says of which VM, `data-href` where a click leads. The server has a picture
 * only a moment after it was asked for one, and none of a VM that is off: then the place is empty.
 */
const LOOK_MS = 500;
const SOON_MS = 1000; // there is none yet
const SOON_TIMES = 5;
const LATER_MS = 15_000;
const IN_FLIGHT = 3;
const TIMEOUT_MS = 10_000;

interface Place {
  due: number;
  empty: number; // answers without a picture, in a row
  asking: boolean;
}

export function screens(root: HTMLElement): void {
  const places = new Map<HTMLElement, Place>();
  const seen = new Set<Element>();
  let inFlight = 0;
  const inView = new IntersectionObserver((changes) => {
    for (const change of changes) {
      if (change.isIntersecting) seen.add(change.target);
      else seen.delete(change.target);
    }
  });

  const ask = async (element: HTMLElement, place: Place): Promise<void> => {
    place.asking = true;
    inFlight += 1;
    const picture = await fetchPicture(element.dataset.screen ?? "");
    inFlight -= 1;
    place.asking = false;
    place.empty = picture ? 0 : place.empty + 1;
    place.due = performance.now() + (picture || place.empty > SOON_TIMES ? LATER_MS : SOON_MS);
    show(element, picture);
  };

  const look = (): void => {
    for (const element of places.keys()) if (!element.isConnected) forget(element);
    if (document.hidden) return;
    for (const element of root.querySelectorAll<HTMLElement>("[data-screen]")) {
      const place = places.get(element) ?? { due: 0, empty: 0, asking: false };
      if (!places.has(element)) {
        places.set(element, place); // rows come and go as the list is rendered again
        inView.observe(element);
      }
      const isDue = seen.has(element) && !place.asking && performance.now() >= place.due;
      if (isDue && inFlight < IN_FLIGHT) void ask(element, place);
    }
  };
  const forget = (element: HTMLElement): void => {
    inView.unobserve(element);
    seen.delete(element);
    places.delete(element);
    show(element, null);
  };
  setInterval(look, LOOK_MS);
  look();
}

/** The picture, null while there is none or nobody answers. */
async function fetchPicture(url: string): Promise<Blob | null> {
  try {
    const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
    return answer.status === 200 ? await answer.blob() : null;
  } catch {
    return null;
  }
}

function show(element: HTMLElement, picture: Blob | null): void {
  const old = element.querySelector("img");
  if (old) URL.revokeObjectURL(old.src);
  if (!picture) {
    element.replaceChildren();
    return;
  }
  const image = old ?? new Image();
  image.alt = element.dataset.alt ?? "";
  image.src = URL.createObjectURL(picture);
  if (old) return;
  if (!element.dataset.href) {
    element.replaceChildren(image);
    return;
  }
  const link = document.createElement("a");
  link.href = element.dataset.href;
  link.append(image);
  element.replaceChildren(link);
}
