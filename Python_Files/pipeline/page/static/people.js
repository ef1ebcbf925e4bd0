// The newest faces. Who was not there a moment ago arrives softly.

import { byId, make } from "./element.js";
import { ago } from "./words.js";

const PORTRAIT = /^https:\/\/randomuser\.me\/api\/portraits\/(men|women)\/([0-9]{1,2})\.jpg$/;
const shown = new Map();
let newest = null;

function initials(person) {
  return [person.first, person.last].map((name) => [...name][0] ?? "").join("").toUpperCase();
}

function face(person) {
  const tone = parseInt(person.uuid.slice(0, 2), 16) % 3;
  const place = make("span", { class: `face tone${tone}`, "aria-hidden": "true" }, initials(person));
  const found = PORTRAIT.exec(person.picture);
  if (found) load(place, `/page/portraits/${found[1]}/${found[2]}`, [6, 20, 60]);
  return place;
}

// Somebody is in PostgreSQL a moment before NocoDB has their picture: until then, the initials.
function load(place, address, again) {
  const image = new Image(48, 48);
  image.alt = "";
  image.decoding = "async";
  image.onload = () => place.replaceChildren(image);
  image.onerror = () => {
    if (again.length) setTimeout(() => place.isConnected && load(place, address, again.slice(1)), again[0] * 1000);
  };
  image.src = address;
}

function card(person, isNew) {
  return make("li", { class: isNew ? "new" : null, "data-uuid": person.uuid }, face(person),
    make("span", { class: "who" },
      make("b", { dir: "auto" }, `${person.first} ${person.last}`),
      make("span", { dir: "auto", title: person.company }, person.company),
      make("span", {}, `${person.city}, ${person.nationality}`)));
}

export function showPeople(people) {
  const first = shown.size === 0;
  const cards = people.map((person) => shown.get(person.uuid) ?? card(person, !first));
  for (const one of shown.values()) one.classList.remove("new");
  shown.clear();
  people.forEach((person, place) => shown.set(person.uuid, cards[place]));
  byId("people").replaceChildren(...cards);
  newest = people.length ? people[0].fetched_at : null;
  tickPeople();
}

export function tickPeople() {
  byId("people-when").textContent = newest === null ? "Nobody yet" : `Fetched ${ago(newest)}`;
}
