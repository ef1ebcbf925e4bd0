// The stream of events: kept open, watched, and begun anew when it is lost. Says both.

const SECTIONS = ["at", "chain", "ledger", "people", "rejected", "charts", "backup", "servers", "links", "alive"];
const SILENCE = 12000; // the server says something at least every five seconds
const AGAIN = 2000;

// on.section(name, content), on.live(), on.lost()
export function follow(on) {
  let source = null;
  let heard = 0;
  let timer = 0;

  function open() {
    clearTimeout(timer);
    source?.close();
    heard = Date.now();
    source = new EventSource("/page/events");
    source.onopen = () => {
      heard = Date.now();
    };
    source.onerror = () => {
      on.lost();
      source.close();
      timer = setTimeout(open, AGAIN);
    };
    for (const name of SECTIONS) {
      source.addEventListener(name, (event) => {
        heard = Date.now();
        on.live();
        on.section(name, JSON.parse(event.data));
      });
    }
  }

  setInterval(() => {
    if (Date.now() - heard > SILENCE) {
      on.lost();
      open();
    }
  }, 1000);
  addEventListener("online", open);
  open();
}
