// The chain as a drawing: across where there is room, else from top to bottom; and the same as a table for who hears it.

import { byId, draw, make } from "./element.js";
import { ago, count, rate, time } from "./words.js";

const NAMES = {
  "1-Add_Timestamp": "1-Add_Timestamp", "2-Add_Label": "2-Add_Label",
  "3-Add_Database-postgresql": "3-Add_Database", "3-Add_Database-nocodb": "3-Add_Database",
};
const READS = {
  "1-Add_Timestamp": "users.fetched", "2-Add_Label": "users.timestamped",
  "3-Add_Database-postgresql": "users.labelled", "3-Add_Database-nocodb": "users.labelled",
};
const ACROSS = 940; // pixels; below, the drawing goes down

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
  return box(x, y, width, 88, NAMES[stage.name],
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

function across(chain, stage) {
  const boxes = draw("g", {});
  const w = 186, gap = 136, y = 96, mid = y + 44;
  const x = [2, 2 + w + gap, 2 + 2 * (w + gap)];
  const sinkX = 2 + 3 * (w + gap) + 4, sinkY = [30, 162], sinkW = 184, storeX = sinkX + sinkW + 34;
  const arrow = (from, to, name, one) => [
    draw("path", { class: "flow", d: `M${from} ${mid} H${to - 2}` }), tip(to, mid),
    text((from + to) / 2 - 3, mid - 9, waits(one), `waits ${one.waits ? "some" : ""}`),
    text((from + to) / 2 - 3, mid + 20, name, "topic"),
  ];
  const one = stage("1-Add_Timestamp"), two = stage("2-Add_Label");
  const sinks = [stage("3-Add_Database-postgresql"), stage("3-Add_Database-nocodb")];
  boxes.append(
    ...arrow(x[0] + w, x[1], "users.fetched", one), ...arrow(x[1] + w, x[2], "users.timestamped", two),
    feedBox(x[0], y, w, chain.feed), stageBox(x[1], y, w, one, "blue"), stageBox(x[2], y, w, two, "green"),
  );
  const fork = x[2] + w;
  boxes.append(text(fork + 50, mid + 5, "users.labelled", "topic"));
  ["PostgreSQL", "NocoDB"].forEach((name, row) => {
    const at = sinkY[row] + 44, up = row ? 1 : -1;
    boxes.append(
      draw("path", { class: "flow", d: `M${fork} ${mid + up * 20} C${fork + 40} ${mid + up * 20} ${fork + 50} ${at} ${sinkX - 2} ${at}` }), tip(sinkX, at),
      text(fork + 50, row ? at + 18 : at - 10, waits(sinks[row]), `waits ${sinks[row].waits ? "some" : ""}`),
      stageBox(sinkX, sinkY[row], sinkW, sinks[row], ""),
      draw("path", { class: "flow", d: `M${sinkX + sinkW} ${at} H${storeX - 2}` }), tip(storeX, at),
      draw("rect", { x: storeX, y: at - 28, width: 104, height: 56, rx: 12, class: `store ${row ? "nocodb" : ""}` }),
      text(storeX + 52, at + 5, name, "name"),
    );
  });
  // What is set aside goes by a topic of its own to the same sink, as the account of the fetches does.
  const below = 268;
  boxes.prepend(
    draw("path", { class: "side", d: `M${x[0] + w / 2} ${y + 88} V${below} H${sinkX + sinkW + 17} V${sinkY[0] + 70} H${sinkX + sinkW + 2}` }),
    draw("path", { class: "side", d: `M${x[1] + w / 2} ${y + 88} V${below} M${x[2] + w / 2} ${y + 88} V${below}` }),
    draw("path", { class: "side", d: `M${x[0] + w / 2} ${y} V${14} H${sinkX + 30} V${sinkY[0]}` }),
  );
  boxes.append(text(x[1] + w / 2 + 140, below + 18, "users.rejected", "topic"), text(x[1] + w / 2 + 140, 30, "pipeline.fetches", "topic"));
  return [storeX + 106, 292, boxes];
}

function down(chain, stage) {
  const boxes = draw("g", {});
  const w = 340, x = 2, step = 150;
  const arrow = (y, name, one, at = x + 40) => [
    draw("path", { class: "flow", d: `M${at} ${y + 88} V${y + step - 2}` }), tip(at, y + step, true),
    text(at + 16, y + 124, waits(one), `waits ${one.waits ? "some" : ""}`, "start"),
    text(at + 70, y + 123, `wait in ${name}`, "topic", "start"),
  ];
  const rows = [null, stage("1-Add_Timestamp"), stage("2-Add_Label"), stage("3-Add_Database-postgresql"), stage("3-Add_Database-nocodb")];
  boxes.append(feedBox(x, 2, w, chain.feed));
  rows.slice(1, 3).forEach((one, row) => {
    boxes.append(...arrow(2 + row * step, READS[one.name], one), stageBox(x, 2 + (row + 1) * step, w, one, row ? "green" : "blue"));
  });
  let y = 2 + 2 * step;
  boxes.append(...arrow(y, "users.labelled", rows[3]));
  y += step;
  boxes.append(stageBox(x, y, w, rows[3], ""), text(x + w - 14, y + 62, "PostgreSQL", "topic", "end"));
  boxes.append(
    draw("path", { class: "flow", d: `M${x + w / 2 + 120} ${y - step + 88} V${y - 30} H${x + w + 14} V${y + 118} H${x + 40} V${y + step - 2}` }),
    tip(x + 40, y + step, true),
    text(x + 56, y + 142, waits(rows[4]), `waits ${rows[4].waits ? "some" : ""}`, "start"), text(x + 110, y + 141, "wait in users.labelled", "topic", "start"),
  );
  y += step;
  boxes.append(stageBox(x, y, w, rows[4], ""), text(x + w - 14, y + 62, "NocoDB", "topic", "end"));
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
  const stage = (name) => chain.stages.find((one) => one.name === name);
  const [width, height, boxes] = (place.clientWidth < ACROSS ? down : across)(chain, stage);
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
