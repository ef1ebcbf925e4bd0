// The two charts, with uPlot. Its figures are in a table too, for who cannot see them.

import { byId, make } from "./element.js";
import { count, duration } from "./words.js";

let uPlot = null;
try {
  ({ default: uPlot } = await import("/page/uplot.js"));
} catch {
  // Told in the chart's place.
}

let charts = null;
let span = "hour";
let drawn = [];

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// A piece between two without anybody is no line, so it is a dot.
function alone(plot, number) {
  const list = plot.data[number];
  return list.flatMap((one, at) => (one !== null && (list[at - 1] ?? null) === null && (list[at + 1] ?? null) === null ? [at] : []));
}

function series(label, name, unit, filled, dash) {
  return {
    label, stroke: colour(name), width: 2, dash, fill: filled ? `${colour(name)}22` : undefined, points: { show: true, size: 5, fill: colour(name), filter: alone },
    value: (_, value) => (value === null || value === undefined ? "–" : unit(value)),
  };
}

function options(place, lines, unit) {
  const grid = { stroke: colour("faint"), width: 1 };
  const font = '12px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif';
  const axis = { stroke: colour("soft"), font, grid, ticks: { show: false } };
  return {
    width: place.clientWidth, height: 220, series: [{ value: (_, at) => (at ? new Date(at * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" }) : "–") }, ...lines],
    axes: [{ ...axis, grid: { show: false }, values: (_, all) => all.map((at) => new Date(at * 1000).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })) },
      { ...axis, size: 56, values: (_, all) => all.map(unit) }],
    scales: { y: { range: (_, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
    cursor: { drag: { x: false, y: false } },
  };
}

function plot(id, lines, data, unit, summary) {
  const place = byId(id);
  if (!uPlot) {
    place.replaceChildren(make("p", { class: "empty" }, "The charts are not installed: ./Project_Initialize.sh does it."));
    return;
  }
  place.replaceChildren(make("p", { class: "hidden" }, summary));
  const last = Math.max(0, data[1].findLastIndex((one) => one !== null));
  const settings = options(place, lines, unit);
  // With nobody pointing at it the legend tells the newest.
  settings.hooks = { setCursor: [(one) => one.cursor.idx === null && one.setLegend({ idx: last }, false)] };
  const made = new uPlot(settings, data, place);
  made.setLegend({ idx: last }, false);
  drawn.push(made);
}

function whole(list) {
  return list.reduce((sum, one) => sum + one, 0);
}

function show() {
  if (!charts) return;
  for (const one of drawn) one.destroy();
  drawn = [];
  const told = charts[span];
  const minutes = told.seconds / 60;
  // Of the piece that is not over yet, only the times are told: its count would look like a fall.
  const over = (list) => list.slice(0, -1);
  const perMinute = (list) => over(list).map((one) => one / minutes);
  const number = (value) => count(Math.round(value * 10) / 10);
  plot("throughput", [series("PostgreSQL", "blue", number, true), series("NocoDB", "green", number, false, [5, 4])],
    [over(told.at), perMinute(told.postgresql), perMinute(told.nocodb)], number,
    `In the last ${span}: ${count(whole(told.postgresql))} people into PostgreSQL, ${count(whole(told.nocodb))} into NocoDB.`);
  const last = told.median.findLast((one) => one !== null);
  plot("latency", [series("median", "blue", duration, false), series("95th percentile", "orange", duration, true)],
    [told.at, told.median, told.slow], duration, last === undefined ? `Nobody was stored in the last ${span}.` : `Median, last: ${duration(last)}.`);
}

export function showCharts(told) {
  charts = told;
  show();
}

export function prepareCharts() {
  for (const button of document.querySelectorAll("[data-span]")) {
    button.addEventListener("click", () => {
      span = button.dataset.span;
      for (const one of document.querySelectorAll("[data-span]")) one.setAttribute("aria-pressed", String(one === button));
      show();
    });
  }
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  return show;
}
