import { afterAll, beforeAll, expect, it } from "vitest";
import { causeWords } from "./causes";
import { speak } from "./gettext";

const CAUSES = {
  "Hopsight's own pipeline, the same on every host": /^Собственный/,
  "Port of web-1 (10.20.0.10) on payments-net": "Порт web-1 (10.20.0.10) в payments-net",
  "Network payments-net, VXLAN, VNI 4097": "Сеть payments-net, VXLAN, VNI 4097",
  "Rule “any protocol over IPv6 from members of the same group” of group default":
    "Правило «любой протокол по IPv6 от участников той же группы» группы default",
  "Rule “tcp/22 from anywhere” of group ssh-and-ping": "Правило «tcp/22 отовсюду» группы ssh-and-ping",
  "Router r1, outside by hv1": "Маршрутизатор r1, наружу через hv1",
  "something else": "something else",
}; // biome-ignore format: a table

beforeAll(() => speak("ru"));
afterAll(() => speak("en"));

it.each(Object.entries(CAUSES))("tells %s", (cause, words) => {
  if (typeof words === "string") expect(causeWords(cause)).toBe(words);
  else expect(causeWords(cause)).toMatch(words);
});
