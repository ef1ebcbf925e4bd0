// The account of everybody who was ever fetched, in one line a store.

import { byId, make } from "./element.js";
import { count } from "./words.js";

const TERMS = [
  ["stored", "stored"], ["repeats", "repeats"], ["removed", "removed"], ["rejected", "rejected"], ["on_the_way", "on the way"],
];

function term(number, name, kind = "") {
  return make("span", { class: `term ${kind || (number ? "" : "none")}` }, make("b", {}, count(number)), make("span", {}, name));
}

function line(title, fetched, told) {
  const parts = [make("span", { class: "store" }, title), term(fetched, "fetched"), make("span", { class: "sign" }, "=")];
  TERMS.forEach(([key, name], place) => {
    if (place) parts.push(make("span", { class: "sign" }, "+"));
    parts.push(term(told[key], name, key === "on_the_way" && told[key] ? "way" : ""));
  });
  if (told.missing) parts.push(make("span", { class: "sign" }, "+"), term(told.missing, "missing", "bad"));
  return make("p", { class: "sum" }, ...parts);
}

export function showLedger(ledger) {
  const missing = Math.max(ledger.postgresql.missing, ledger.nocodb.missing);
  const verdict = missing
    ? make("p", { class: "verdict bad" }, `${count(missing)} not accounted for: `, make("code", {}, "Administrator_scripts/Ledger.sh"), " names them.")
    : make("p", { class: "verdict good" }, "Everybody is accounted for.");
  byId("ledger").replaceChildren(
    line("PostgreSQL", ledger.fetched, ledger.postgresql), line("NocoDB", ledger.fetched, ledger.nocodb), verdict,
  );
}
