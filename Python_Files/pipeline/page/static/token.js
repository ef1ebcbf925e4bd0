// The token of the API, asked once and kept until the tab is closed.

import { byId } from "./element.js";

const KEY = "api-token";

export function forgetToken() {
  sessionStorage.removeItem(KEY);
}

// The token, or null when the person does not give one.
export function askToken() {
  const kept = sessionStorage.getItem(KEY);
  if (kept) return Promise.resolve(kept);
  const dialog = byId("token");
  const field = byId("token-value");
  field.value = "";
  dialog.showModal();
  field.focus();
  return new Promise((answer) => {
    let given = null;
    dialog.querySelector("form").onsubmit = (event) => {
      event.preventDefault();
      given = field.value.trim() || null;
      dialog.close();
    };
    dialog.querySelector("button[value=cancel]").onclick = () => dialog.close();
    dialog.onclose = () => {
      if (given) sessionStorage.setItem(KEY, given);
      field.value = "";
      answer(given);
    };
  });
}
