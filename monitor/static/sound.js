// Bursts in the spirit of IEC 60601-1-8, table 3 and 4; no conformity is claimed. Off until
// somebody clicks, for browsers allow none before; the button always says which it is.

import { serverNow } from "./times.js";

const RANK = ["", "low", "medium", "high"];

// starts: of the pulses in a burst, s. width: of a pulse, s. every: from burst to burst, s.
const BURST = {
  high: { starts: [0, 0.25, 0.5, 0.95, 1.2, 2.0, 2.25, 2.5, 2.95, 3.2], width: 0.15, hz: 660, every: 8 },
  medium: { starts: [0, 0.4, 0.8], width: 0.2, hz: 520, every: 15 },
  low: { starts: [0, 0.4], width: 0.2, hz: 390, every: 30 },
};

let context = null;
let allowed = false;
let last = { name: "", at: 0 };

function pulse(at, { width, hz }) {
  const gain = context.createGain();
  gain.gain.setValueAtTime(0, at);
  gain.gain.linearRampToValueAtTime(0.25, at + 0.02);
  gain.gain.setValueAtTime(0.25, at + width - 0.03);
  gain.gain.linearRampToValueAtTime(0, at + width);
  gain.connect(context.destination);
  const tone = context.createOscillator();
  const harmonics = new Float32Array([0, 1, 0.7, 0.6, 0.5, 0.4]); // four above the fundamental
  tone.setPeriodicWave(context.createPeriodicWave(new Float32Array(6), harmonics));
  tone.frequency.value = hz;
  tone.connect(gain);
  tone.start(at);
  tone.stop(at + width);
}

// The highest priority that is to be heard; a page that is blind says so like a medium one.
function wanted() {
  if (document.documentElement.dataset.feed === "stale") return "medium";
  const bar = document.getElementById("bar");
  const over = JSON.parse(bar.dataset.paused)
    .filter(([until]) => until && Date.parse(until) <= serverNow())
    .map(([, priority]) => priority);
  const loud = [bar.dataset.loud, ...over].map((name) => RANK.indexOf(name));
  return RANK[Math.max(...loud)];
}

function show() {
  const button = document.getElementById("sound");
  const on = allowed && context?.state === "running";
  button.setAttribute("aria-pressed", String(on));
  button.textContent = on ? "Sound on" : allowed ? "Sound blocked" : "Sound off";
  return on;
}

export function playDue() {
  if (!show()) return;
  const name = wanted();
  const now = context.currentTime;
  const higher = RANK.indexOf(name) > RANK.indexOf(last.name);
  if (name && (higher || now - last.at >= BURST[name].every)) {
    for (const start of BURST[name].starts) pulse(now + 0.05 + start, BURST[name]);
    last = { name, at: now };
  } else if (!name) last = { name: "", at: 0 };
}

export function offerSound() {
  const button = document.getElementById("sound");
  button.addEventListener("click", async () => {
    context ??= new AudioContext();
    allowed = !allowed;
    await (allowed ? context.resume() : context.suspend());
    last = { name: "", at: 0 };
    show();
  });
  show();
}
