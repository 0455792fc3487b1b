/** Finds the islands of a page. An element's attributes are an island's whole input. */
import { board } from "./board";
import { chart } from "./chart";
import { console } from "./console";
import { flows } from "./flows";
import { imageUpload } from "./image-upload";
import { liveList } from "./live-list";
import { livePage } from "./live-page";
import { operation } from "./operation";
import { palette } from "./palette";
import { passkey } from "./passkey";
import { probing } from "./probing";
import { screens } from "./screens";
import { status } from "./status";
import { topology } from "./topology";
import { trace } from "./trace";
import { vmCreate } from "./vm-create";

type Island = (element: HTMLElement) => void;

const ISLANDS: Record<string, Island> = {
  board,
  chart,
  "live-list": liveList,
  "live-page": livePage,
  "image-upload": imageUpload,
  operation,
  palette,
  passkey,
  probing,
  screens,
  status,
  "vm-create": vmCreate,
  trace,
  flows,
  topology,
  console,
};

export function mountIslands(root: ParentNode): void {
  for (const element of root.querySelectorAll<HTMLElement>("[data-island]")) {
    if (element.dataset.mounted) continue;
    element.dataset.mounted = "1";
    ISLANDS[element.dataset.island ?? ""]?.(element);
  }
  for (const button of root.querySelectorAll<HTMLElement>("[data-copy]")) copyOnClick(button);
}

function copyOnClick(button: HTMLElement): void {
  button.addEventListener("click", async () => {
    await navigator.clipboard?.writeText(button.dataset.copy ?? "");
    button.dataset.copied = "1";
    setTimeout(() => delete button.dataset.copied, 1500);
  });
}
