/** What a selected thing carries now, as one number of the panel's line. */
import { cableRate, hostRate, rateOn } from "../../core/topology/lookup";
import { type Inventory, type Rate, STALE_S, split } from "../../core/topology/model";
import { findBox, type Scene } from "../../core/topology/scene";

export interface Reading extends Rate {
  stale: boolean;
}

/** Null for what no counter tells. */
export function readingOf(
  inventory: Inventory,
  scene: Scene | null,
  id: string,
  nowS: number,
): Reading | null {
  if (!scene) return null;
  const [kind, name] = split(id);
  if (kind === "host") return withAge(inventory, [name], hostRate(inventory, name, nowS), nowS);
  const placed = findBox(scene, id);
  if (placed) {
    if (placed.box.ports.length === 0) return null;
    return withAge(
      inventory,
      hostsOf(placed.card.id, placed.box.ports),
      rateOn(inventory, placed.card, placed.box, nowS),
      nowS,
    );
  }
  const cable = scene.cables.find((one) => one.id === id);
  const rate = cable ? cableRate(inventory, cable, nowS) : null;
  return cable && rate ? withAge(inventory, cable.hosts, rate, nowS) : null;
}

function hostsOf(card: string, ports: readonly string[]): string[] {
  if (card.startsWith("host:")) return [card.slice("host:".length)];
  return [...new Set(ports.map((port) => port.split("|")[0] ?? ""))];
}

/** Null until one of the hosts was counted: what nobody counted is not nothing. */
function withAge(inventory: Inventory, hosts: readonly string[], rate: Rate, nowS: number): Reading | null {
  const counted = hosts.flatMap((host) => inventory.traffic.get(host)?.at ?? []);
  return counted.length > 0 ? { ...rate, stale: nowS - Math.max(...counted) > STALE_S } : null;
}
