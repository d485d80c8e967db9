// The connection to the server, and whether to believe what the page shows.
//
// Values are shown only while beats come in time and say that the broker is heard. Silence is
// measured here, for a dead server says nothing.

export const STALE_MS = 2600; // 3 s are promised: a timer and the painting take their part
const SILENT_MS = 6000; // then a connection is given up, and another made
const AGAIN_MS = 2000; // between two tries where the server refuses
const LATE_MS = 3000; // a beat that lay in a buffer for so long says nothing of now

export class Feed {
  // url: of the stream. tell(state, cause, silence): waiting, live or
  // stale; ms since the last beat, null where beats come. on: {alert, patch, gap, beat}.
  constructor(url, tell, on) {
    this.url = url;
    this.tell = tell;
    this.on = on;
    this.offset = null; // of the last record heard: nothing is taken twice
    this.beat = null;
    this.state = "";
    this.broken = ""; // until everything is replaced
    this.dead = ""; // for good
    this.hear();
    this.open();
    setInterval(() => this.judge(), 200);
    addEventListener("visibilitychange", () => this.judge());
    addEventListener("pageshow", () => this.judge());
  }

  open() {
    this.source?.close();
    const url = new URL(this.url, location.href);
    if (this.offset !== null) url.searchParams.set("last_event_id", this.offset);
    this.opened = performance.now();
    this.source = new EventSource(url);
    this.source.onopen = () => this.begin();
    this.source.onerror = () => this.failed();
    const take = (name, use) => this.source.addEventListener(name, (event) => this.take(use, event));
    take("beat", (event) => this.onBeat(JSON.parse(event.data)));
    take("patch", (event) => this.onPatch(JSON.parse(event.data)));
    take("alert", (event) => this.onRecord(event, this.on.alert));
    take("heartbeat", (event) => this.onRecord(event, () => {}));
    take("gap", (event) => this.on.gap(JSON.parse(event.data)));
    this.begin();
  }

  // A page that cannot read what it is sent must not look as if it could.
  take(use, event) {
    try {
      use(event);
    } catch (error) {
      console.error(error);
      this.broken = "This page could not show what the server sent; it tries again.";
    }
    this.judge();
  }

  // What the page is made of is broken: nothing that comes can mend that.
  fail() {
    this.dead = "This page failed: load it anew.";
    this.judge();
  }

  begin() {
    this.began = performance.now();
    this.whole = false; // the first patch replaces everything; before it, what is here is old
    this.least = Infinity;
  }

  hear() {
    this.heard = performance.now();
    this.heardDate = Date.now(); // runs on while a computer sleeps, the other clock may not
  }

  silence() {
    return Math.max(performance.now() - this.heard, Date.now() - this.heardDate);
  }

  onBeat(beat) {
    const delay = performance.now() - Date.parse(beat.time);
    this.least = Math.min(this.least, delay);
    if (delay - this.least > LATE_MS) return;
    this.beat = beat;
    this.offset ??= beat.newest_offset ?? null;
    this.hear();
    this.on.beat(beat);
  }

  onPatch(patch) {
    this.on.patch(patch);
    if (!this.whole) this.broken = ""; // everything was replaced: what went wrong is gone
    this.whole = true;
  }

  onRecord(event, use) {
    const offset = Number(event.lastEventId);
    if (this.offset !== null && offset <= this.offset) return; // heard before a reconnect
    this.offset = offset;
    use(JSON.parse(event.data), offset);
  }

  async failed() {
    if (this.source.readyState !== EventSource.CLOSED) return; // it tries again by itself
    const answer = await fetch("/api/system").catch(() => null);
    if (answer && (answer.status === 401 || answer.status === 403)) {
      this.broken = "You are logged out: load the page anew to log in.";
    }
  }

  opinion() {
    if (this.dead || this.broken) return ["stale", this.dead || this.broken];
    if (this.silence() > STALE_MS) return ["stale", "The server is silent."];
    if (!this.beat) return ["waiting", ""];
    if (this.beat.broker !== "ok") return ["stale", "The monitor does not reach Kafka."];
    if (!this.beat.ready) return ["stale", "The monitor is still reading what happened."];
    if (this.whole) return ["live", ""];
    const late = performance.now() - this.began > STALE_MS;
    return late ? ["stale", "The server sends no values."] : ["waiting", ""];
  }

  judge() {
    const [state, cause] = this.opinion();
    if (`${state}${cause}` !== this.state) {
      this.state = `${state}${cause}`;
      this.tell(state, cause, this.silence() > STALE_MS ? this.silence() : null);
    }
    const tried = performance.now() - this.opened;
    const gone = this.source.readyState === EventSource.CLOSED;
    const lost = gone || this.broken || !this.whole || this.silence() > SILENT_MS;
    if (lost && tried > (gone ? AGAIN_MS : SILENT_MS)) this.open();
  }
}
