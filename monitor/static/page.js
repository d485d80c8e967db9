// Puts a page together: the feed, what it says, and what a person may do.

import { offerActs } from "./acts.js";
import { Feed } from "./feed.js";
import { patch } from "./patch.js";
import { offerSound, playDue } from "./sound.js";
import { inWords, localise, serverNow, setClock, tick } from "./times.js";
import { offerViewers } from "./viewer.js";

const WATCHDOG_MS = 15_000; // who hears no heartbeat for so long is blind
const FEED_WORDS = { live: "live", waiting: "waiting for the server", stale: "STALE" };
const root = document.documentElement;
const byId = (id) => document.getElementById(id);

function show(state, cause, since) {
  root.dataset.feed = state;
  byId("feed-word").textContent = FEED_WORDS[state];
  byId("stale").hidden = state !== "stale";
  byId("stale-cause").textContent = cause;
  byId("stale-last").hidden = since === null;
  if (since !== null) byId("stale-since").dateTime = new Date(serverNow() - since).toISOString();
  tick(byId("stale"));
}

// One notice an id, as long as there are words for it.
function notice(id, words) {
  let element = byId(id);
  if (!words) return element?.remove();
  if (!element) {
    element = Object.assign(document.createElement("p"), { id, className: "blind" });
    byId("notices").append(element);
  }
  if (element.textContent !== words) element.textContent = words;
}

const heard = [];

// Several at once are said in one sentence: a flood of them helps nobody.
function announce() {
  const news = heard.splice(0);
  if (!news.length) return;
  const rank = ["low", "medium", "high"];
  news.sort((a, b) => rank.indexOf(b.priority) - rank.indexOf(a.priority));
  const [{ priority, text, PatientID: id }] = news;
  const called = byId(`tile-${id}`)?.dataset.called ?? id ?? "no patient";
  const more = news.length > 1 ? ` And ${news.length - 1} more.` : "";
  byId(priority === "high" ? "urgent" : "polite").textContent =
    `Alarm, ${priority}: ${called}: ${text}.${more}`;
}

const feed = new Feed(document.body.dataset.stream, show, {
  alert(alert) {
    if (["start", "escalate"].includes(alert.phase)) heard.push(alert);
  },
  patch,
  gap({ from, to }) {
    notice("gap", `Alerts ${from} to ${to} are older than what is kept: they were not heard here.`);
  },
  beat(beat) {
    setClock(beat.time);
    notice("cache", beat.cache === "away" ? "Redis is away. What is shown here does not need it." : "");
  },
});

function everySecond() {
  tick();
  const time = byId("heartbeat").dataset.time;
  const age = time ? serverNow() - Date.parse(time) : Infinity;
  const since = time ? `for ${inWords(age)}` : "yet";
  const blind = root.dataset.feed === "live" && age > WATCHDOG_MS;
  notice("watchdog", blind ? `No heartbeat ${since}: nobody watches whether frames are scored.` : "");
  announce();
  playDue();
}

addEventListener("error", () => feed.fail());
addEventListener("unhandledrejection", () => feed.fail());
localise(document);
everySecond();
setInterval(everySecond, 1000);
offerActs();
offerSound();
if (document.querySelector(".viewer")) offerViewers();
