/** What lights up together: the way from a thing to the wire, and a trace laid over the picture. */
import { BRIDGE } from "./cards";
import { thingOf } from "./lookup";
import type { GuestData, Inventory } from "./model";
import type { Scene } from "./scene";
import { cablesOf } from "./spaces";

/** Ids of the boxes, cables and cards on the paths through a thing; empty when it has none. */
export function litBy(inventory: Inventory, scene: Scene, id: string): Set<string> {
  const thing = thingOf(inventory, id);
  const lit = new Set<string>([id]);
  if (!thing) return lit;
  switch (thing.kind) {
    case "guest":
      lightGuest(lit, scene, id, thing.guest);
      break;
    case "tap":
      if (thing.guest) lightGuest(lit, scene, thing.guest[0], thing.guest[1], thing.port);
      else lightHost(lit, scene, thing.host.name);
      break;
    case "network":
      for (const [key, guest] of inventory.guests)
        if (guest.nics.some((nic) => nic.network === thing.uuid)) lightGuest(lit, scene, key, guest);
      break;
    case "router":
      for (const network of inventory.routers.get(thing.uuid)?.networks ?? []) lit.add(`network:${network}`);
      for (const cable of scene.cables) if (cable.id.startsWith(`router:${thing.uuid}/`)) lit.add(cable.id);
      break;
    case "mesh":
      for (const host of thing.hosts) lightFabric(lit, scene, host);
      break;
    case "wire":
    case "group":
      break;
    default:
      lightHost(lit, scene, thing.host.name);
  }
  return lit;
}

function lightGuest(lit: Set<string>, scene: Scene, id: string, guest: GuestData, tap?: string): void {
  lit.add(id);
  for (const port of cablesOf(guest)) lit.add(`port:${guest.host}/${port}`);
  if (guest.space && guest.space.taps.length === 0) return;
  for (const nic of guest.nics) {
    if (tap !== undefined && nic.tap !== tap) continue;
    lit.add(`port:${guest.host}/${nic.tap}`);
    lit.add(`network:${nic.network}`);
    lit.add(`nic:${nic.uuid}`);
  }
  lit.add(`taps:${guest.host}`);
  lit.add(`bridge:${guest.host}/${BRIDGE}`);
  lightFabric(lit, scene, guest.host);
}

/** A host's tunnels, NICs and what leaves it. */
function lightFabric(lit: Set<string>, scene: Scene, host: string): void {
  const card = scene.cards.find((one) => one.id === `host:${host}`);
  for (const box of card?.boxes ?? []) if (box.kind === "tunnel" || box.kind === "nic") lit.add(box.id);
  for (const cable of scene.cables) if (cable.hosts.includes(host)) lit.add(cable.id);
  lit.add(`host:${host}`);
  lit.add("wire:underlay");
}

function lightHost(lit: Set<string>, scene: Scene, host: string): void {
  lightFabric(lit, scene, host);
  const card = scene.cards.find((one) => one.id === `host:${host}`);
  for (const box of card?.boxes ?? []) lit.add(box.id);
}

export interface TraceHop {
  kind: string;
  host: string;
  object: string;
}

/** The boxes that a trace goes through, in order; hops that the picture does not show are passed over. */
export function boxesOfTrace(scene: Scene, inventory: Inventory, hops: readonly TraceHop[]): string[] {
  const shown = new Set<string>();
  for (const card of scene.cards) for (const box of card.boxes) shown.add(box.id);
  const found: string[] = [];
  for (const hop of hops) {
    const id = candidates(scene, inventory, hop).find((one) => shown.has(one) || one === "wire:underlay");
    if (id && found.at(-1) !== id && (shown.has(id) || scene.shared)) found.push(id);
  }
  return found;
}

function candidates(scene: Scene, inventory: Inventory, hop: TraceHop): string[] {
  const port = `port:${hop.host}/${hop.object}`;
  const card = scene.cards.find((one) => one.id === `host:${hop.host}`);
  const first = (kind: string): string[] =>
    (card?.boxes ?? []).filter((box) => box.kind === kind).map((box) => box.id);
  if (hop.kind === "guest_nic") return guestNamed(inventory, hop);
  if (hop.kind === "tap" || hop.kind === "veth" || hop.kind === "ovs_port") return [port, `taps:${hop.host}`];
  if (hop.kind === "bridge") return [`bridge:${hop.host}/${hop.object.split(" ")[0]}`];
  if (hop.kind.startsWith("tunnel")) return [port, ...first("tunnel")];
  if (hop.kind === "underlay_nic") return [port, ...first("nic")];
  return hop.kind === "underlay" ? ["wire:underlay"] : [];
}

/** A guest's hop is called `web-1 eth0`. */
function guestNamed(inventory: Inventory, hop: TraceHop): string[] {
  for (const [id, guest] of inventory.guests)
    if (guest.host === hop.host && hop.object.startsWith(`${guest.name} `)) return [id];
  return [];
}
