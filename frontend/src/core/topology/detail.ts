/** How much of a card is drawn at a zoom: the same rule for the pen and for the pointer. */
import { FOLD_PAST } from "./physical";
import type { Scene } from "./scene";

export type Detail = "full" | "plain" | "folded" | "grouped";

const FULL_PX = 170; // a card this wide on the screen can be read
const PLAIN_PX = 84;
const GROUP_PX = 40;
const CARD = 328;

/** full: words in boxes; plain: boxes without words; folded: a line with sums; grouped: groups with sums. */
export function detailAt(scene: Scene, z: number): Detail {
  if (scene.view === "logical") return z * 126 >= 46 ? "full" : "plain";
  const width = CARD * z;
  if (scene.groups.length > 0 && width < GROUP_PX) return "grouped";
  if (width >= FULL_PX) return "full";
  if (width >= PLAIN_PX) return "plain";
  return scene.cards.length > FOLD_PAST || width < 46 ? "folded" : "plain";
}
