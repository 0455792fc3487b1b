/** The picture of a chart: means as lines, peaks as a faint band above them, gaps where nothing was sampled. */
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { gettext } from "../core/gettext";
import { type History, quantity } from "../core/series";
import { dayAndMonth, hourAndMinute, pageZone } from "../core/zone";

const HEIGHT = 150;
const [EDGE, HEAD, FOOT] = [16, 40, 32]; // around a chart that is saved as a picture
/** Steps of an axis that counts bytes: 1, 2, 4 … so that its ticks are whole in KiB, MiB and GiB. */
const POWERS = Array.from({ length: 50 }, (_, power) => 2 ** power);
const DASHES = [[], [4, 2], [1, 2], [6, 2, 1, 2]];

export class Drawing {
  private plot: uPlot | null = null;
  private history: History | null = null;

  constructor(
    private stage: HTMLElement,
    private names: string[],
  ) {
    new ResizeObserver(() => this.plot?.setSize({ width: this.stage.clientWidth, height: HEIGHT })).observe(
      stage,
    );
    const again = (): void => {
      if (this.history) this.show(this.history, true);
    };
    new MutationObserver(again).observe(document.documentElement, { attributes: true });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  }

  show(history: History, afresh = false): void {
    this.history = history;
    const lines = history.lines.filter((line) => this.names.includes(line.name));
    const values = [history.at, ...lines.map((line) => line.mean), ...lines.map((line) => line.peak)];
    const data = values as uPlot.AlignedData;
    if (this.plot && !afresh) {
      this.plot.setData(data);
      return;
    }
    this.plot?.destroy();
    this.plot = new uPlot(this.options(lines), data, this.stage);
  }

  /** The chart as people pass it on: on the page's ground, under its title, with what each line is; null while none is drawn. */
  picture(title: string, words: (name: string) => string): HTMLCanvasElement | null {
    const drawn = this.stage.querySelector("canvas");
    const pen = document.createElement("canvas").getContext("2d");
    if (!drawn || !pen || !this.history) return null;
    const style = getComputedStyle(this.stage);
    const ratio = drawn.width / drawn.clientWidth || 1;
    const width = drawn.clientWidth + 2 * EDGE;
    const lines = this.history.lines.filter((line) => this.names.includes(line.name));
    pen.canvas.width = width * ratio;
    pen.canvas.height = (HEAD + drawn.clientHeight + FOOT) * ratio;
    pen.scale(ratio, ratio);
    pen.fillStyle = solid(this.stage, "var(--surface)");
    pen.fillRect(0, 0, width, HEAD + drawn.clientHeight + FOOT);
    pen.drawImage(drawn, EDGE, HEAD, drawn.clientWidth, drawn.clientHeight);
    pen.fillStyle = solid(this.stage, "var(--text)");
    pen.font = `600 14px ${style.fontFamily}`;
    pen.fillText(title, EDGE, 26, width - 2 * EDGE);
    pen.font = `12px ${style.fontFamily}`;
    let left = EDGE;
    for (const [at, line] of lines.entries()) {
      const low = HEAD + drawn.clientHeight + 18;
      pen.strokeStyle = solid(this.stage, `var(--line-${at + 1})`);
      pen.lineWidth = 2;
      pen.setLineDash(DASHES[at % DASHES.length] ?? []);
      pen.beginPath();
      pen.moveTo(left, low - 4);
      pen.lineTo(left + 18, low - 4);
      pen.stroke();
      const text = words(line.name);
      pen.fillText(text, left + 24, low);
      left += 44 + pen.measureText(text).width;
    }
    return pen.canvas;
  }

  private options(lines: History["lines"]): uPlot.Options {
    const style = getComputedStyle(this.stage);
    const colour = (name: string): string => style.getPropertyValue(name).trim() || style.color;
    const resolved = (name: string): string => solid(this.stage, colour(name));
    const grid = { stroke: resolved("--line"), width: 1 };
    const axis = { stroke: style.color, grid, ticks: grid, font: `11px ${style.fontFamily}` };
    const unit = lines[0]?.unit ?? "";
    const drawn = lines.map((line, at) => ({
      label: line.words,
      stroke: resolved(`--line-${at + 1}`),
      width: 1.5,
      dash: DASHES[at % DASHES.length] ?? [],
      points: { show: false },
    }));
    const peaks = lines.map((line, at) => ({
      label: gettext("%(words)s, peak", { words: line.words }),
      stroke: "transparent",
      fill: faint(resolved(`--line-${at + 1}`)),
      points: { show: false },
    }));
    return {
      width: this.stage.clientWidth,
      height: HEIGHT,
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), pageZone()),
      legend: { show: false },
      cursor: { y: false, points: { size: 6 } },
      scales: { y: { range: (_plot, _low, high) => [0, ceiling(high, unit)] } },
      axes: [
        { ...axis, values: (_plot, ticks, _axis, _space, step) => ticks.map((at) => moment(at, step)) },
        {
          ...axis,
          size: 76,
          ...(unit === "bytes" ? { incrs: POWERS } : {}),
          values: (_plot, ticks) => ticks.map((one) => quantity(one, unit)),
        },
      ],
      series: [{}, ...drawn, ...peaks],
    };
  }
}

/** `14:30`, or `26 Nov` where ticks are days apart or a day begins; in the page's zone. */
function moment(at: number, step: number): string {
  const then = new Date(at * 1000);
  const text = hourAndMinute(then);
  return step < 86400 && text !== "00:00" ? text : dayAndMonth(then);
}

/** An idle line lies at the bottom, not in the middle of a scale made for its noise. */
function ceiling(high: number | null, unit: string): number {
  const least = unit === "percent" ? 5 : unit === "bit/s" || unit === "bytes/s" ? 1000 : 1;
  return Math.max((high ?? 0) * 1.1, least);
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
  return colour.startsWith("rgb(") ? colour.replace("rgb(", "rgba(").replace(")", ", 0.1)") : "transparent";
}
