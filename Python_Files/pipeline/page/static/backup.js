// How well the data is protected: the last backup, its proof, and what a disaster would cost.

import { byId, make } from "./element.js";
import { ago, duration } from "./words.js";

let last = null;

function fact(name, told, more) {
  return make("div", {}, make("dt", {}, name), make("dd", {}, told, more && make("small", {}, more)));
}

function since(moment) {
  return ago(moment === null ? null : Date.parse(moment) / 1000);
}

export function showBackup(backup) {
  if (!backup) return;
  last = backup;
  const place = byId("backup");
  const now = JSON.stringify([backup, since(backup.last_backup), since(backup.last_wal), since(backup.last_proof)]);
  if (place.dataset.shown === now) return; // what somebody has selected stays so
  place.dataset.shown = now;
  place.replaceChildren(
    make("dl", { class: "facts" },
      fact("Last backup", since(backup.last_backup), backup.last_wal && `WAL archived ${since(backup.last_wal)}`),
      fact("Last proof", since(backup.last_proof), backup.ok ? "restored and compared: the same" : "restored and compared with the live database"),
      fact("RPO", duration(backup.rpo_seconds), "what a disaster would have cost"),
      fact("RTO", duration(backup.rto_seconds), "until the restored copy answered")),
    backup.warnings.length && make("ul", { class: "warnings" }, ...backup.warnings.map((one) => make("li", {}, one))) || "");
}

export function tickBackup() {
  showBackup(last);
}
