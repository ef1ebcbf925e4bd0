// What was set aside, why, and a button that sends it again into the stage that refused it.

import { byId, make } from "./element.js";
import { askToken, forgetToken } from "./token.js";
import { ago, count } from "./words.js";

const said = new Map(); // by id: what came of a replay, kept while the row is shown
const busy = new Set();
const drawn = new Map(); // by id: how a row was drawn, and its element, which stays while nothing changes under a person's hand
let last = null;

async function replay(row) {
  const token = await askToken();
  if (!token) return;
  busy.add(row.id);
  said.delete(row.id);
  showRejected(last);
  try {
    const answer = await fetch(`/api/rejected/${row.id}/replay`, { method: "POST", headers: { Authorization: `Bearer ${token}`, Accept: "application/json" } });
    if (answer.status === 401 || answer.status === 403) forgetToken();
    said.set(row.id, answer.ok ? ["Sent again; it is on its way.", false] : [await reason(answer), true]);
  } catch {
    said.set(row.id, ["It could not be sent: the connection is lost.", true]);
  }
  busy.delete(row.id);
  showRejected(last);
}

async function reason(answer) {
  if (answer.status === 401 || answer.status === 403) return "The token was not accepted. Try again with the one in .env.";
  try {
    const told = await answer.json();
    const parts = typeof told.error === "object" ? [told.error.message, told.error.detail, told.error.hint] : [told.error, told.detail, told.hint];
    return parts.filter((one) => typeof one === "string" && one).join(" · ") || `The server answered ${answer.status}.`;
  } catch {
    return `The server answered ${answer.status}.`;
  }
}

function line(row) {
  const state = JSON.stringify([row, busy.has(row.id), said.get(row.id), ago(row.rejected_at)]);
  if (drawn.get(row.id)?.state !== state) drawn.set(row.id, { state, element: draw(row) });
  return drawn.get(row.id).element;
}

function draw(row) {
  const button = make("button", { type: "button", disabled: busy.has(row.id), "aria-label": `Replay record ${row.id}` }, busy.has(row.id) ? "Sending …" : "Replay");
  button.addEventListener("click", () => replay(row));
  const tries = row.tries ? `, sent again ${row.tries === 1 ? "once" : `${row.tries} times`}` : "";
  const told = said.get(row.id);
  return make("div", { class: "row", "data-id": row.id },
    make("div", {},
      make("b", {}, row.reason), " ", make("span", { class: "quiet" }, `${row.stage}, ${ago(row.rejected_at)}${tries}`),
      make("p", { class: "why", dir: "auto" }, row.message)),
    button,
    told && make("p", { class: `said ${told[1] ? "bad" : ""}`, role: "status" }, told[0]));
}

export function showRejected(rejected) {
  if (!rejected) return;
  last = rejected;
  const place = byId("rejected");
  const focused = document.activeElement?.closest("[data-id]")?.dataset.id;
  const rows = rejected.rows.map(line);
  const shown = rows.length ? rows : [make("p", { class: "empty" }, "Nothing waits for a decision.")];
  if (shown.length !== place.children.length || shown.some((one, number) => place.children[number] !== one)) place.replaceChildren(...shown);
  const open = new Set(rejected.rows.map((row) => row.id));
  for (const id of drawn.keys()) if (!open.has(id)) drawn.delete(id);
  if (focused) place.querySelector(`[data-id="${focused}"] button`)?.focus();
  byId("rejected-count").textContent = rejected.count > rows.length ? `The newest ${rows.length} of ${count(rejected.count)}` : rejected.count ? `${count(rejected.count)} open` : "";
}
