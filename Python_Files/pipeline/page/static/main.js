// What comes in goes to its place on the page; what does not come in any more is told.

import { showBackup, tickBackup } from "./backup.js";
import { showChain, tickChain } from "./chain.js";
import { prepareCharts, showCharts } from "./charts.js";
import { follow } from "./connection.js";
import { byId, make } from "./element.js";
import { showLedger } from "./ledger.js";
import { showPeople, tickPeople } from "./people.js";
import { showRejected } from "./rejected.js";
import { setClock, time } from "./words.js";

const TITLES = { postgresql: "PostgreSQL", kafka: "Kafka", nocodb: "NocoDB" };
const OLD = 45; // seconds after which the server's own look is no present any more

let chain = null;
let servers = {};
let state = "connecting";
let lostAt = null;
let lookedAt = null;
let back = "";

const SHOW = {
  at: (moment) => {
    lookedAt = Date.now();
    setClock(moment);
  },
  chain: (told) => {
    chain = told;
    showChain(told);
  },
  ledger: showLedger,
  people: showPeople,
  rejected: showRejected,
  charts: showCharts,
  backup: showBackup,
  servers: (told) => {
    servers = told;
    tellNotices();
  },
  links: (told) => {
    const link = byId("nocodb");
    link.href = told.nocodb;
    link.hidden = false;
  },
};

function tellState(next, words) {
  state = next;
  const pill = byId("connection");
  pill.dataset.state = next;
  if (pill.textContent !== words) pill.textContent = words;
}

let noticed = "";

function tellNotices() {
  const notices = [];
  if (state === "lost") notices.push(["", `The connection was lost at ${time(lostAt)}. What is shown is from then; trying again …`]);
  else if (lookedAt !== null && Date.now() - lookedAt > OLD * 1000) notices.push(["", "The server has not looked at the pipeline for a while; what is shown is old."]);
  if (back) notices.push(["good", back]);
  for (const [name, told] of Object.entries(servers)) {
    if (told.fault) notices.push(["", `${TITLES[name] ?? name} does not answer${told.since ? ` since ${time(told.since)}` : ""}: ${told.fault}. What comes from it is from then.`]);
  }
  const key = JSON.stringify(notices);
  if (key === noticed) return;
  noticed = key;
  byId("notices").replaceChildren(...notices.map(([kind, words]) => make("p", { class: `notice ${kind}` }, words)));
}

const redraw = prepareCharts();

follow({
  section(name, content) {
    SHOW[name]?.(content);
  },
  live() {
    if (state === "live") return;
    if (state === "lost") {
      back = `Connected again at ${time(Date.now() / 1000)}.`;
      setTimeout(() => {
        back = "";
        tellNotices();
      }, 8000);
    }
    tellState("live", "Live");
    tellNotices();
  },
  lost() {
    if (state === "lost") return;
    lostAt = Date.now() / 1000;
    tellState("lost", "Connection lost");
    tellNotices();
  },
});

setInterval(() => {
  tickChain();
  tickPeople();
  tickBackup();
  tellNotices();
}, 1000);

let resizing = 0;
addEventListener("resize", () => {
  cancelAnimationFrame(resizing);
  resizing = requestAnimationFrame(() => {
    if (chain) showChain(chain);
    redraw();
  });
});
