/** One packet a second: the numbers, the chart and the losses of a trace's probing, as they come. */
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { gettext } from "../core/gettext";
import {
  columns,
  latencyWords,
  losses,
  type Probing,
  type Sample,
  type Told,
  withSample,
} from "../core/probing";
import { live } from "../core/socket";
import { inTurn } from "../core/turns";
import { renderAgain } from "./fields";

const HEIGHT = 140;
const LIVE = ["waiting", "running"];

export function probing(element: HTMLElement): void {
  let samples = samplesIn(element);
  let chart = draw(element, samples);
  const again = inTurn(async () => {
    if (!(await renderAgain(element))) return false;
    samples = samplesIn(element);
    chart = draw(element, samples);
    return true;
  });
  if (!LIVE.includes(element.dataset.state ?? "")) return;
  const topic = `probing:${element.dataset.uuid}`;
  const leave = live().join(topic, (change) => {
    const told = (change.kind === "event" ? change.event.data : change.view.state[topic]) as Told | undefined;
    if (!told) return;
    const next = withSample(samples, told);
    if (!next) {
      again();
      return;
    }
    samples = next;
    chart?.setData(columns(samples) as uPlot.AlignedData);
    write(element, told, samples);
    if (!LIVE.includes(told.state)) {
      leave();
      again(); // without its stop button, and with the way to begin anew
    }
  });
}

function samplesIn(element: HTMLElement): Sample[] {
  return JSON.parse(element.querySelector("#probing-samples")?.textContent ?? "[]") as Sample[];
}

function write(element: HTMLElement, told: Probing, samples: Sample[]): void {
  const put = (name: string, value: string): void => {
    const place = element.querySelector(`[data-probing-${name}]`);
    if (place) place.textContent = value;
  };
  put("sent", String(told.sent));
  put("arrived", String(told.arrived));
  put("lost", String(told.sent - told.arrived));
  put("latency", latencyWords(samples));
  const table = element.querySelector<HTMLTableElement>("[data-probing-losses]");
  const lost = losses(samples);
  if (!table?.tBodies[0]) return;
  table.hidden = lost.length === 0;
  table.tBodies[0].replaceChildren(
    ...lost.map(({ reason, count }) => {
      const row = document.createElement("tr");
      row.insertCell().textContent = reason;
      const number = row.insertCell();
      number.textContent = String(count);
      number.className = "num";
      return row;
    }),
  );
}

function draw(element: HTMLElement, samples: Sample[]): uPlot | null {
  const stage = element.querySelector<HTMLElement>("[data-probing-chart]");
  if (!stage) return null;
  const words = element.querySelector("[data-probing-latency]");
  if (words) words.textContent = latencyWords(samples);
  const chart = new uPlot(options(stage), columns(samples) as uPlot.AlignedData, stage);
  new ResizeObserver(() => chart.setSize({ width: stage.clientWidth, height: HEIGHT })).observe(stage);
  return chart;
}

function options(stage: HTMLElement): uPlot.Options {
  const style = getComputedStyle(stage);
  const colour = (name: string): string => solid(stage, `var(${name})`);
  const grid = { stroke: colour("--line"), width: 1 };
  const axis = { stroke: colour("--text-3"), grid, ticks: grid, font: `11px ${style.fontFamily}` };
  const accent = colour("--accent");
  return {
    width: stage.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false },
    scales: {
      x: { time: false, range: (_plot, _low, high) => [0, Math.max(high ?? 0, 10)] },
      y: { range: (_plot, _low, high) => [0, Math.max((high ?? 0) * 1.15, 1)] },
    },
    axes: [
      { ...axis, values: (_plot, ticks) => ticks.map((at) => gettext("%(number)s s", { number: at })) },
      {
        ...axis,
        size: 56,
        values: (_plot, ticks) => ticks.map((one) => gettext("%(number)s ms", { number: one })),
      },
    ],
    bands: [{ series: [2, 3], fill: faint(accent) }],
    series: [
      {},
      { label: gettext("latency"), stroke: accent, width: 1.5, points: { show: false } },
      { label: gettext("at most"), stroke: "transparent", points: { show: false } },
      { label: gettext("at least"), stroke: "transparent", points: { show: false } },
      { label: gettext("lost"), stroke: colour("--v-dropped"), width: 0, points: { show: true, size: 7 } },
    ],
  };
}

/** The colour as a canvas takes it: `light-dark()` and variables are the page's words alone. */
function solid(stage: HTMLElement, colour: string): string {
  const probe = document.createElement("i");
  probe.style.color = colour;
  stage.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function faint(colour: string): string {
  return colour.startsWith("rgb(") ? colour.replace("rgb(", "rgba(").replace(")", ", 0.15)") : "transparent";
}
