/** Rates as last summed: traffic comes once a second, frames sixty times, so sums are kept for a while. */
import { rateOn } from "../../core/topology/lookup";
import type { Inventory, Rate } from "../../core/topology/model";
import type { Cable, Card } from "../../core/topology/scene";

const KEEP_S = 0.45;

interface CardRates {
  atS: number;
  boxes: Rate[];
  wires: Rate[];
}

type HostRate = (inventory: Inventory, name: string, nowS: number) => Rate;
type CableRate = (inventory: Inventory, cable: Cable, nowS: number) => Rate | null;

export class Ratebook {
  private cards = new WeakMap<Card, CardRates>();
  private hosts = new Map<string, { atS: number; rate: Rate }>();
  private cables = new WeakMap<Cable, { atS: number; rate: Rate | null }>();

  of(inventory: Inventory, card: Card, nowS: number): CardRates {
    const known = this.cards.get(card);
    if (known && nowS - known.atS < KEEP_S) return known;
    const fresh = {
      atS: nowS,
      boxes: card.boxes.map((box) => rateOn(inventory, card, box, nowS)),
      wires: card.wires.map((wire) => rateOn(inventory, card, wire, nowS)),
    };
    this.cards.set(card, fresh);
    return fresh;
  }

  host(inventory: Inventory, name: string, nowS: number, of: HostRate): Rate {
    const known = this.hosts.get(name);
    if (known && nowS - known.atS < KEEP_S) return known.rate;
    const rate = of(inventory, name, nowS);
    this.hosts.set(name, { atS: nowS, rate });
    return rate;
  }

  cable(inventory: Inventory, cable: Cable, nowS: number, of: CableRate): Rate | null {
    const known = this.cables.get(cable);
    if (known && nowS - known.atS < KEEP_S) return known.rate;
    const rate = of(inventory, cable, nowS);
    this.cables.set(cable, { atS: nowS, rate });
    return rate;
  }
}
