// Numbers and times as people read them.

const whole = new Intl.NumberFormat("en");
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const small = new Intl.NumberFormat("en", { maximumSignificantDigits: 2 });

export function count(number) {
  return whole.format(number);
}

export function rate(perSecond) {
  if (perSecond === null || perSecond === undefined) return "– /s";
  return `${perSecond >= 10 ? whole.format(Math.round(perSecond)) : small.format(perSecond)} /s`;
}

export function duration(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 10) return `${small.format(seconds)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

// The server's clock is the one that counts: it may be another than this machine's.
let ahead = 0;

export function setClock(serverSeconds) {
  ahead = serverSeconds - Date.now() / 1000;
}

export function ago(seconds) {
  if (seconds === null || seconds === undefined) return "never";
  const passed = Math.max(0, Date.now() / 1000 + ahead - seconds);
  return passed < 3 ? "just now" : `${duration(Math.floor(passed))} ago`;
}

export function time(seconds) {
  return clock.format(new Date(seconds * 1000));
}
