// The chain as a drawing: across where there is room, else from top to bottom; and the same as a table for who hears it.

import { byId, draw, make } from "./element.js";
import { ago, count, rate, time } from "./words.js";

const ACROSS = [340, 300]; // pixels, and so many more a stage between topics; below, the drawing goes down
const STORES = { postgresql: "PostgreSQL", nocodb: "NocoDB" };
const COLOURS = ["blue", "green"];

let shown = null;

function text(x, y, content, kind, anchor = "middle") {
  return draw("text", { x, y, class: kind, "text-anchor": anchor }, content);
}

function stateOf(stage) {
  const { working = 0, paused = 0, starting = 0 } = stage.states;
  const all = working + paused + starting;
  if (!all) return ["gone", "not running"];
  if (paused) return ["paused", paused === all ? "paused" : `${paused} of ${all} paused`];
  if (starting === all) return ["paused", "starting"];
  return ["working", all === 1 ? "working" : `${all} processes`];
}

function box(x, y, width, height, title, facts, colour, state) {
  const parts = [
    draw("rect", { x, y, width, height, rx: 12, class: `box ${colour} ${state === "gone" ? "gone" : ""}` }),
    draw("circle", { cx: x + 19, cy: y + 20.5, r: 4.5, class: `dot ${state}` }),
    text(x + 31, y + 25, title, "name", "start"),
  ];
  facts.filter(Boolean).forEach(([content, kind = ""], row) => parts.push(text(x + 14, y + 45 + 18 * row, content, `fact ${kind}`, "start")));
  return draw("g", {}, ...parts);
}

function stageBox(x, y, width, stage, colour) {
  const [state, told] = stateOf(stage);
  const name = stage.store ? stage.name.replace(`-${stage.store}`, "") : stage.name;
  return box(x, y, width, 88, name,
    [[`${rate(stage.rate)} · ${told}`], [`${count(stage.refused)} rejected`, stage.refused ? "refused" : ""]], colour, state);
}

function feedBox(x, y, width, feed) {
  const last = feed.last;
  const failed = last && last.failure;
  return box(x, y, width, 88, "0-Get_Data",
    [[`${rate(feed.rate)} · ${last ? last.source : "no fetch yet"}`],
      last && [failed ? `failed: ${last.failure}` : `${count(last.received)} people at ${time(last.at)}`, failed ? "refused" : ""]],
    "orange", failed ? "paused" : "working");
}

function waits(stage) {
  return `${stage.about ? "≈ " : ""}${count(stage.waits)}`;
}

function tip(x, y, down) {
  return draw("path", { class: "tip", d: down ? `M${x - 5} ${y - 8} L${x} ${y} L${x + 5} ${y - 8} Z` : `M${x - 8} ${y - 5} L${x} ${y} L${x - 8} ${y + 5} Z` });
}

function across(chain, between, sinks) {
  const boxes = draw("g", {});
  const w = 186, gap = 136, y = 96, mid = y + 44;
  const x = [chain.feed, ...between].map((_, number) => 2 + number * (w + gap)), last = x.at(-1);
  const sinkX = last + w + gap + 4, sinkY = [30, 162], sinkW = 184, storeX = sinkX + sinkW + 34;
  const arrow = (from, to, one) => [
    draw("path", { class: "flow", d: `M${from} ${mid} H${to - 2}` }), tip(to, mid),
    text((from + to) / 2 - 3, mid - 9, waits(one), `waits ${one.waits ? "some" : ""}`),
    text((from + to) / 2 - 3, mid + 20, one.reads, "topic"),
  ];
  boxes.append(feedBox(x[0], y, w, chain.feed));
  between.forEach((one, row) => boxes.append(
    ...arrow(x[row] + w, x[row + 1], one), stageBox(x[row + 1], y, w, one, COLOURS[row % COLOURS.length]),
  ));
  const fork = last + w;
  boxes.append(text(fork + 50, mid + 5, sinks[0].reads, "topic"));
  sinks.forEach((sink, row) => {
    const at = sinkY[row] + 44, up = row ? 1 : -1;
    boxes.append(
      draw("path", { class: "flow", d: `M${fork} ${mid + up * 20} C${fork + 40} ${mid + up * 20} ${fork + 50} ${at} ${sinkX - 2} ${at}` }), tip(sinkX, at),
      text(fork + 50, row ? at + 18 : at - 10, waits(sink), `waits ${sink.waits ? "some" : ""}`),
      stageBox(sinkX, sinkY[row], sinkW, sink, ""),
      draw("path", { class: "flow", d: `M${sinkX + sinkW} ${at} H${storeX - 2}` }), tip(storeX, at),
      draw("rect", { x: storeX, y: at - 28, width: 104, height: 56, rx: 12, class: `store ${row ? "nocodb" : ""}` }),
      text(storeX + 52, at + 5, STORES[sink.store], "name"),
    );
  });
  // What is set aside goes by a topic of its own to the same sink, as the account of the fetches does.
  const below = 268;
  boxes.prepend(
    draw("path", { class: "side", d: `M${x[0] + w / 2} ${y + 88} V${below} H${sinkX + sinkW + 17} V${sinkY[0] + 70} H${sinkX + sinkW + 2}` }),
    ...x.slice(1).map((at) => draw("path", { class: "side", d: `M${at + w / 2} ${y + 88} V${below}` })),
    draw("path", { class: "side", d: `M${x[0] + w / 2} ${y} V${14} H${sinkX + 30} V${sinkY[0]}` }),
  );
  boxes.append(text(x[1] + w / 2 + 140, below + 18, "users.rejected", "topic"), text(x[1] + w / 2 + 140, 30, "pipeline.fetches", "topic"));
  return [storeX + 106, 292, boxes];
}

function down(chain, between, sinks) {
  const boxes = draw("g", {});
  const w = 340, x = 2, step = 150;
  const arrow = (y, one, at = x + 40) => [
    draw("path", { class: "flow", d: `M${at} ${y + 88} V${y + step - 2}` }), tip(at, y + step, true),
    text(at + 16, y + 124, waits(one), `waits ${one.waits ? "some" : ""}`, "start"),
    text(at + 70, y + 123, `wait in ${one.reads}`, "topic", "start"),
  ];
  boxes.append(feedBox(x, 2, w, chain.feed));
  between.forEach((one, row) => {
    boxes.append(...arrow(2 + row * step, one), stageBox(x, 2 + (row + 1) * step, w, one, COLOURS[row % COLOURS.length]));
  });
  let y = 2 + between.length * step;
  const [first, second] = sinks;
  boxes.append(...arrow(y, first));
  y += step;
  boxes.append(stageBox(x, y, w, first, ""), text(x + w - 14, y + 62, STORES[first.store], "topic", "end"));
  boxes.append(
    draw("path", { class: "flow", d: `M${x + w / 2 + 120} ${y - step + 88} V${y - 30} H${x + w + 14} V${y + 118} H${x + 40} V${y + step - 2}` }),
    tip(x + 40, y + step, true),
    text(x + 56, y + 142, waits(second), `waits ${second.waits ? "some" : ""}`, "start"),
    text(x + 110, y + 141, `wait in ${second.reads}`, "topic", "start"),
  );
  y += step;
  boxes.append(stageBox(x, y, w, second, ""), text(x + w - 14, y + 62, STORES[second.store], "topic", "end"));
  return [x + w + 18, y + 92, boxes];
}

function table(chain) {
  const rows = chain.stages.map((stage) => make("tr", { "data-stage": stage.name },
    make("th", { scope: "row" }, stage.name), make("td", {}, stateOf(stage)[1]), make("td", {}, waits(stage)),
    make("td", {}, rate(stage.rate)), make("td", {}, count(stage.refused))));
  const head = ["Stage", "State", "Waiting", "Records a second", "Rejected"].map((name) => make("th", { scope: "col" }, name));
  return make("table", {}, make("caption", {}, "The stages of the chain"), make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows));
}

export function showChain(chain) {
  const place = byId("chain");
  const between = chain.stages.filter((one) => !one.store), sinks = chain.stages.filter((one) => one.store);
  const drawn = place.clientWidth < ACROSS[0] + ACROSS[1] * between.length ? down : across;
  const [width, height, boxes] = drawn(chain, between, sinks);
  const drawing = draw("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, boxes);
  place.replaceChildren(drawing, make("div", { class: "hidden" }, table(chain)));
  shown = chain;
  tickChain();
}

export function tickChain() {
  if (!shown) return;
  const last = shown.feed.last;
  byId("feed").textContent = last ? `Last fetch ${ago(last.at)}, from ${last.source}` : "Nothing was fetched yet";
}
