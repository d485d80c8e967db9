// Put changed parts into the page: {html: {id: element}, lists: {id: [ids in order]}}.

import { localise, tick } from "./times.js";

const template = document.createElement("template");

function made(html) {
  template.innerHTML = html;
  const element = template.content.firstElementChild;
  localise(element);
  tick(element);
  return element;
}

// What somebody opened stays open.
function keepOpen(before, after) {
  for (const details of before.querySelectorAll("details[open][id]")) {
    after.querySelector(`#${CSS.escape(details.id)}`)?.setAttribute("open", "");
  }
}

function arrange(list, order, fresh) {
  const kept = new Set(order);
  for (const child of [...list.children]) if (!kept.has(child.id)) child.remove();
  let at = list.firstElementChild;
  for (const id of order) {
    const element = at?.id === id ? at : (fresh.get(id) ?? document.getElementById(id));
    if (!element) throw new Error(`the server did not send ${id}`);
    if (element === at) at = at.nextElementSibling;
    else list.insertBefore(element, at);
  }
}

// Where the focus is: an element may be replaced, what stands in its place takes over.
const FOCUSABLE = "a, button, summary, input, [tabindex]";

function focusPlace() {
  const holder = document.activeElement?.closest("[id]");
  return holder && [holder.id, [...holder.querySelectorAll(FOCUSABLE)].indexOf(document.activeElement)];
}

function focusAgain([id, index]) {
  const holder = document.getElementById(id);
  const element = index < 0 ? holder : holder?.querySelectorAll(FOCUSABLE)[index];
  if (element && element !== document.activeElement) element.focus({ preventScroll: true });
}

export function patch({ html = {}, lists = {} }) {
  const focused = focusPlace();
  const fresh = new Map();
  for (const [id, text] of Object.entries(html)) {
    const element = made(text);
    const before = document.getElementById(id);
    if (before) {
      keepOpen(before, element);
      before.replaceWith(element);
    } else fresh.set(id, element);
  }
  for (const [id, order] of Object.entries(lists)) {
    const list = document.getElementById(id);
    if (list) arrange(list, order, fresh);
  }
  if (focused) focusAgain(focused);
  // What flashes, flashes together.
  for (const flash of document.getAnimations()) flash.startTime = 0;
  document.dispatchEvent(new CustomEvent("patched", { detail: Object.keys(html) }));
}
