// Ages, countdowns and times of day. Moments are the server's; so is the clock they are compared
// with: each beat sets it, and it runs on between beats.

let base = Date.parse(document.body.dataset.now);
let since = performance.now();

export function setClock(time) {
  base = Date.parse(time);
  since = performance.now();
}

export const serverNow = () => base + (performance.now() - since);

export function inWords(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s % 86400) / 3600)} h`;
}

const two = (n) => String(n).padStart(2, "0");

function countdown(ms) {
  const s = Math.ceil(ms / 1000);
  return s > 0 ? `${Math.floor(s / 60)}:${two(s % 60)} left` : "over";
}

function ofDay(time) {
  const clock = time.toLocaleTimeString([], { hour12: false });
  const same = time.toDateString() === new Date(serverNow()).toDateString();
  return same ? clock : `${time.toLocaleDateString()} ${clock}`;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function tick(root = document) {
  const now = serverNow();
  for (const element of root.querySelectorAll("time[data-age]")) {
    if (element.dateTime) write(element, inWords(now - Date.parse(element.dateTime)));
  }
  for (const element of root.querySelectorAll("time[data-until]")) {
    write(element, countdown(Date.parse(element.dateTime) - now));
  }
}

// Written by the server in UTC; a ward reads its own time.
export function localise(root) {
  for (const element of root.querySelectorAll("time[data-clock]")) {
    element.title = element.dateTime;
    write(element, ofDay(new Date(element.dateTime)));
  }
}
