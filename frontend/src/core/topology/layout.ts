/** One picture from an inventory and what the last one kept: the layout's whole face, used by the worker and by tests. */

import { layoutLogical } from "./logical";
import type { Inventory } from "./model";
import { type Kept, layoutPhysical } from "./physical";
import type { Scene } from "./scene";

export { type Kept, nothingKept } from "./physical";

export function layout(view: Scene["view"], inventory: Inventory, kept: Kept): { scene: Scene; kept: Kept } {
  return view === "logical" ? layoutLogical(inventory, kept) : layoutPhysical(inventory, kept);
}
