// Images of a series: scrolled by wheel, keys and slider, with heat map and outlines over them.

const SVG = "http://www.w3.org/2000/svg";
const KEYS = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 5, PageDown: -5 };
const WHEEL_PX = 40; // of scrolling, for one slice

const chosen = (id) => document.getElementById(id).checked;

class Viewer {
  constructor(figure, moved) {
    this.name = figure.dataset.series;
    this.moved = moved;
    this.part = (selector) => figure.querySelector(selector);
    this.stage = this.part(".stage");
    this.image = this.part(".image");
    this.heat = this.part(".heat");
    this.marks = this.part(".marks");
    this.slider = this.part(".slider");
    this.wheeled = 0;
    this.read();
    this.slider.addEventListener("input", () => this.go(Number(this.slider.value)));
    this.stage.addEventListener("keydown", (event) => this.key(event));
    this.stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.image.addEventListener("load", () => this.draw());
    this.image.addEventListener("error", () => this.expired());
    this.heat.addEventListener("error", () => (this.heat.hidden = true));
  }

  // Take over the slices; the one that is looked at stays, unless the series is another.
  read() {
    const data = JSON.parse(this.part(".series script").textContent);
    const here = this.slices?.[this.at]?.finding_id;
    const same = data && this.uid === data.uid;
    this.uid = data?.uid;
    this.slices = data?.slices ?? [];
    const kept = same ? this.slices.findIndex((one) => one.finding_id === here) : -1;
    this.at = kept >= 0 ? kept : (data?.shown ?? 0);
    this.slider.max = Math.max(0, this.slices.length - 1);
    this.show();
  }

  get slice() {
    return this.slices[this.at];
  }

  go(at, alone = false) {
    const before = this.at;
    this.at = Math.min(this.slices.length - 1, Math.max(0, at));
    this.show();
    if (!alone && this.at !== before) this.moved(this, this.at - before);
  }

  goTo(ids) {
    const at = this.slices.findIndex((one) => ids.includes(one.finding_id));
    if (at >= 0) this.go(at, true);
  }

  key(event) {
    const ends = { Home: -this.slices.length, End: this.slices.length };
    const step = KEYS[event.key] ?? ends[event.key];
    if (step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.go(this.at + step);
  }

  wheel(event) {
    if (event.ctrlKey || !this.slices.length) return; // that is zooming
    event.preventDefault();
    this.wheeled += event.deltaMode ? event.deltaY * WHEEL_PX : event.deltaY;
    const steps = Math.trunc(this.wheeled / WHEEL_PX);
    this.wheeled -= steps * WHEEL_PX;
    if (steps) this.go(this.at - steps);
  }

  show() {
    const slice = this.slice;
    this.slider.value = this.at;
    this.slider.disabled = this.slices.length < 2;
    this.say();
    const at = slice?.image;
    if (!at) return this.expired();
    const tone = document.querySelector("input[name=window]:checked").value;
    this.load(this.image, `${at}&window=${tone}`);
    this.part(".expired").hidden = true;
    this.image.hidden = false;
    this.image.alt = this.part(".where").textContent;
    this.heat.hidden = !slice.heat || !chosen("show-heat");
    if (slice.heat) this.load(this.heat, `${at}&layer=heat`);
    this.heat.style.opacity = document.getElementById("opacity").value / 100;
    this.draw();
  }

  load(image, url) {
    if (image.getAttribute("src") !== url) image.src = url;
  }

  say() {
    const slice = this.slice;
    const words = slice ? [`slice ${this.at + 1} of ${this.slices.length}`] : [];
    if (slice?.location_mm != null) words.push(`${slice.location_mm.toFixed(1)} mm`);
    if (slice?.probability != null) words.push(`probability ${slice.probability.toFixed(2)}`);
    if (slice?.note && slice.image) words.push(slice.note);
    if (slice?.reason) words.push(`not scored: ${slice.reason}`);
    for (const mark of slice?.outlines ?? []) {
      const size = mark.diameter_mm == null ? "" : `, ${mark.diameter_mm.toFixed(1)} mm`;
      words.push(`outlined ${mark.probability.toFixed(2)}${size}`);
    }
    this.part(".where").textContent = words.join(" · ");
    this.slider.setAttribute("aria-valuetext", words.join(", "));
  }

  expired() {
    const note = this.part(".expired");
    const slice = this.slice;
    note.hidden = false;
    this.image.hidden = this.heat.hidden = true;
    this.marks.replaceChildren();
    const of = slice?.sop_instance_uid ?? `series ${this.uid}`;
    if (slice?.note && !slice.image) note.textContent = slice.note;
    else note.textContent = this.uid ? `Image expired, see the PACS: ${of}` : "No images.";
  }

  // Outlines are in pixels of the frame; a whole number is the middle of a pixel.
  draw() {
    const { naturalWidth: width, naturalHeight: height } = this.image;
    this.marks.replaceChildren();
    if (!width || this.image.hidden || !chosen("show-marks")) return;
    this.marks.setAttribute("viewBox", `0 0 ${width} ${height}`);
    for (const mark of this.slice.outlines) {
      const [, , w, h] = mark.box;
      for (const name of ["halo", "outline"]) {
        const shape = document.createElementNS(SVG, "ellipse");
        const given = { cx: mark.x_px + 0.5, cy: mark.y_px + 0.5, rx: w / 2 + 3, ry: h / 2 + 3 };
        for (const [key, value] of Object.entries(given)) shape.setAttribute(key, value);
        shape.setAttribute("class", name);
        this.marks.append(shape);
      }
    }
  }
}

export function offerViewers() {
  const linked = (from, steps) => {
    if (!chosen("together")) return;
    for (const viewer of all) if (viewer !== from) viewer.go(viewer.at + steps, true);
  };
  const figures = [...document.querySelectorAll(".viewer")];
  const all = figures.map((figure) => new Viewer(figure, linked));
  const both = () => all.every((viewer) => viewer.slices.length);
  const label = document.getElementById("together-label");
  label.hidden = !both();
  for (const input of document.querySelectorAll(".images-head input")) {
    input.addEventListener("input", () => all.forEach((viewer) => viewer.show()));
  }
  document.addEventListener("patched", ({ detail }) => {
    for (const viewer of all) if (detail.includes(`series-${viewer.name}`)) viewer.read();
    label.hidden = !both();
  });
  document.addEventListener("click", (event) => {
    const ids = event.target.closest("[data-jump]")?.dataset.jump.split(" ");
    if (ids) all.forEach((viewer) => viewer.goTo(ids));
  });
}
