import uPlot from "uplot";

// Charts get their numbers from their tables: what is drawn is what can be read. The
// server's own picture stays for those charts that are not plain lines.

const plots = new WeakMap<HTMLElement, { plot: uPlot; key: string }>();
const dashes = [[], [7, 4], [2, 4], [10, 3, 2, 3], [14, 4], [4, 2]];

export function drawCharts(): void {
  for (const figure of document.querySelectorAll<HTMLElement>('figure.chart[data-kind="lines"]')) draw(figure);
}

function draw(figure: HTMLElement): void {
  const table = figure.querySelector("details table");
  const data = table ? read(table, Number(figure.dataset.gap) || Infinity) : null;
  const known = plots.get(figure);
  if (!data || data[0].length < 2) {
    known?.plot.root.parentElement?.remove();
    plots.delete(figure);
    figure.classList.remove("plotted");
    return;
  }
  const names = Array.from(table!.querySelectorAll("thead th")).map((th) => th.textContent ?? "");
  const key = names.join("|") + scheme();
  if (known && known.key === key && known.plot.root.isConnected) {
    known.plot.setData(data);
    return;
  }
  known?.plot.root.parentElement?.remove();
  const place = document.createElement("div");
  place.className = "plot";
  place.dataset.keep = "";
  place.setAttribute("aria-hidden", "true"); // the table says it
  figure.insertBefore(place, figure.querySelector("details"));
  figure.classList.add("plotted");
  const plot = new uPlot(options(figure, names, place.clientWidth), data, place);
  plots.set(figure, { plot, key });
  new ResizeObserver(() => {
    if (plot.root.isConnected && place.clientWidth > 0) plot.setSize({ width: place.clientWidth, height: plotHeight });
  }).observe(place);
}

// read makes columns of a table. Where a series has no value for longer than gap nobody has
// looked, and its line ends, as in the server's picture: null says so to uPlot, while undefined
// is only a moment at which another series has a value.
function read(table: Element, gap: number): uPlot.AlignedData | null {
  const columns: (number | null | undefined)[][] = [];
  for (const row of table.querySelectorAll("tbody tr")) {
    const cells = Array.from(row.children, (cell) => (cell as HTMLElement).dataset.v);
    const at = Number(cells[0]);
    const last = columns[0]?.at(-1);
    if (last != null && at - last > gap) columns.forEach((column, i) => column.push(i === 0 ? (at + last) / 2 : undefined));
    cells.forEach((text, i) => (columns[i] ??= []).push(text === undefined ? undefined : Number(text)));
  }
  const [moments, ...series] = columns;
  for (const values of series) {
    let last = -1;
    values.forEach((v, i) => {
      if (v == null) return;
      if (last >= 0 && moments[i]! - moments[last]! > gap) values.fill(null, last + 1, i);
      last = i;
    });
  }
  return columns.length > 1 ? (columns as unknown as uPlot.AlignedData) : null;
}

const plotHeight = 150;
// Steps of bytes that read well.
const byteSteps = Array.from({ length: 50 }, (_, i) => 2 ** i);

const two = (n: number): string => String(n).padStart(2, "0");

// moments writes the marks of the time axis: in UTC, as all times of the pages.
function moments(_: uPlot, ticks: number[]): string[] {
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : 60;
  return ticks.map((t) => {
    const d = new Date(t * 1e3);
    const time = `${two(d.getUTCHours())}:${two(d.getUTCMinutes())}`;
    if (step < 60) return `${time}:${two(d.getUTCSeconds())}`;
    return step < 86400 && (d.getUTCHours() || d.getUTCMinutes()) ? time : `${two(d.getUTCMonth() + 1)}-${two(d.getUTCDate())}`;
  });
}

function options(figure: HTMLElement, names: string[], width: number): uPlot.Options {
  const css = getComputedStyle(document.documentElement);
  const color = (name: string): string => css.getPropertyValue(name).trim();
  const write = writer(figure.dataset.unit ?? "");
  const axis: uPlot.Axis = { stroke: color("--soft"), font: "11px system-ui", grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 } };
  return {
    width,
    height: plotHeight,
    tzDate: (ts) => uPlot.tzDate(new Date(ts * 1e3), "Etc/UTC"),
    scales: { x: { range: (_, low, high) => (high - low < 30 ? [high - 30, high] : [low, high]) }, y: { range: (_, low, high) => [Math.min(0, low), high > 0 ? high * 1.05 : 1] } },
    axes: [
      { ...axis, values: moments, space: 70 },
      { ...axis, size: 64, values: (_, ticks) => ticks.map(write), ...(figure.dataset.unit === "By" ? { incrs: byteSteps } : {}) },
    ],
    cursor: { drag: { x: true, y: false } },
    series: [
      { label: names[0], value: (_, v) => (v === null ? "–" : new Date(v * 1e3).toISOString().slice(5, 19).replace("T", " ")) },
      ...names.slice(1).map((label, i) => ({
        label,
        stroke: color(`--pic-s${(i % 6) + 1}`),
        dash: dashes[i % dashes.length],
        width: 1.5,
        points: { show: (plot: uPlot, i: number, from: number, to: number) => alone(plot.data[i], from, to).length > 0, filter: (plot: uPlot, i: number) => alone(plot.data[i]), size: 3 },
        value: (_: uPlot, v: number | null) => (v === null ? "–" : write(v)),
      })),
    ],
  };
}

// alone are the values that have no neighbour to draw a line to.
function alone(values: ArrayLike<number | null | undefined>, from = 0, to = values.length - 1): number[] {
  const neighbour = (i: number, step: number): number | null | undefined => {
    do i += step;
    while (i >= 0 && i < values.length && values[i] === undefined);
    return values[i];
  };
  const found: number[] = [];
  for (let i = from; i <= to; i++) {
    if (values[i] != null && neighbour(i, -1) == null && neighbour(i, 1) == null) found.push(i);
  }
  return found;
}

function scheme(): string {
  return document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawCharts);

// writer says how numbers of a unit are written, in the page's language.
function writer(unit: string): (v: number) => string {
  const digits = new Intl.NumberFormat(document.documentElement.lang, { maximumSignificantDigits: 3 });
  const steps = (v: number, by: number, names: string[]): string => {
    let i = 0;
    while (Math.abs(v) >= by && i < names.length - 1) {
      v /= by;
      i++;
    }
    return `${digits.format(v)}\u202f${names[i]}`;
  };
  switch (unit) {
    case "By":
      return (v) => steps(v, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]);
    case "s":
      return (v) => (v === 0 ? "0" : Math.abs(v) >= 1 ? `${digits.format(v)}\u202fs` : steps(v * 1e6, 1000, ["µs", "ms"]));
    case "%":
      return (v) => `${digits.format(v * 100)}\u202f%`;
    case "1/s":
      return (v) => `${digits.format(v)}/s`;
  }
  return (v) => digits.format(v);
}
