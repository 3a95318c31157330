import { morph } from "./morph";

interface News {
  at: string;
  clock: string;
  problem: string;
  regions: Record<string, string>;
}

// After so long without news a page says that it is old.
const silence = 4000;

// follow keeps the regions of the page up to date, while it can be seen and the reader
// has not stopped it.
export function follow(address: string, silent: string): void {
  let source: EventSource | null = null;
  let paused = false;
  let heard = Date.now();
  const problem = document.getElementById("problem");
  const button = document.getElementById("pause") as HTMLButtonElement | null;

  const say = (text: string): void => {
    if (!problem || problem.textContent === text) return;
    problem.textContent = text;
    problem.hidden = text === "";
  };
  const stop = (): void => {
    source?.close();
    source = null;
    document.body.classList.remove("alive");
  };
  const start = (): void => {
    if (source || paused || document.hidden) return;
    heard = Date.now();
    source = new EventSource(address);
    source.onmessage = (event: MessageEvent<string>) => {
      heard = Date.now();
      const news = JSON.parse(event.data) as News;
      document.body.classList.toggle("alive", news.problem === "");
      say(news.problem);
      const time = document.getElementById("pulse-time");
      if (time) {
        time.textContent = news.clock;
        time.setAttribute("datetime", news.at);
      }
      let changed = false;
      for (const [name, inside] of Object.entries(news.regions)) {
        const region = document.getElementById("live-" + name);
        if (region) changed = morph(region, inside) || changed;
      }
      if (changed) document.dispatchEvent(new Event("dash:changed"));
    };
  };

  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
  // The server ends streams now and then, and an answer that is no stream ends them for
  // good: both begin anew here.
  setInterval(() => {
    if (paused || document.hidden) return;
    if (source?.readyState === EventSource.CLOSED) stop();
    start();
    const seconds = Math.round((Date.now() - heard) / 1000);
    if (seconds * 1000 >= silence) {
      document.body.classList.remove("alive");
      // Every second would be read aloud every second.
      if (problem?.hidden || seconds % 10 === 0) say(silent.replace("{}", String(seconds)));
    }
  }, 1000);
  if (button) {
    button.hidden = false;
    button.addEventListener("click", () => {
      paused = !paused;
      button.textContent = (paused ? button.dataset.resume : button.dataset.pause) ?? "";
      if (paused) stop();
      else start();
    });
  }
  start();
}
