// What hands and keys do: tools, strokes, zoom; and what is said to Python.
// Painting is done here at once. Python is told when the pointer goes up, and never waited for.

const TOOLS = {
  select: ["Select", "s", "Select: click a nucleus"],
  brush: ["Brush", "b", "Brush: paint a new nucleus, or begin inside one to enlarge it"],
  erase: ["Eraser", "e", "Eraser: take pixels away"],
  polygon: ["Polygon", "p", "Polygon: click corners, Enter or a double click closes it"],
  fill: ["Fill", "f", "Fill: click an empty place inside an outline"],
  move: ["Move", "m", "Move: drag the picture (or drag with Space held down)"],
};
const HELP = [
  ["S B E P F M", "choose a tool"],
  ["[ ]", "smaller, larger brush"],
  ["+ - 0", "zoom in, out, fit"],
  ["arrows", "move the cross; with Shift by ten pixels"],
  ["Enter", "use the tool at the cross; with a polygon: on the first corner, or with Shift, close it"],
  ["N", "select the next nucleus, with Shift the one before"],
  ["Delete", "delete the selected nucleus"],
  ["Ctrl Z, Ctrl Y", "undo, redo"],
  ["Page Up, Page Down", "previous, next picture"],
  ["Space and drag, wheel, two fingers", "move, zoom"],
];

const PATIENCE = 20; // seconds of Python's silence until it is told
const SILENCE =
  "No answer from the program yet: what you draw now may be lost. If it has ended, start it again and reload this page.";

class CanvasWidget {
  constructor(model, element) {
    this.model = model;
    this.stroke = null;
    this.pointers = new Map();
    this.asked = 0; // words to Python that it has not answered
    this.spaceHeld = false;
    this.work = Promise.resolve(); // messages from Python are done one after the other
    this.build(element);
    this.view = new View(this.canvas);
    this.listen();
    this.showStates();
    this.showSelected();
    model.send({ type: "hello" });
  }

  // --- the page -------------------------------------------------------------------------------

  build(element) {
    const root = make("div", { class: "dt-canvas", "data-lm-suppress-shortcuts": "true" });
    this.bar = make("div", { class: "dt-bar", role: "toolbar", "aria-label": "Tools" });
    this.buttons = {};
    this.beginGroup();
    for (const name of this.model.get("tools")) {
      const [text, key, title] = TOOLS[name];
      this.buttons[name] = this.button(text, `${title} (${key.toUpperCase()})`, () => this.choose(name));
    }
    this.beginGroup();
    this.size = this.slider("Size", 1, 60, "brush", "Brush radius in pixels");
    this.remove = this.button("Delete", "Delete the selected nucleus (Delete)", () => this.sayDelete());
    this.undo = this.button("Undo", "Undo (Ctrl Z)", () => this.say("undo"));
    this.redo = this.button("Redo", "Redo (Ctrl Y)", () => this.say("redo"));
    this.beginGroup();
    this.button("\u2212", "Zoom out (-)", () => this.view.zoomBy(1 / 1.4));
    this.button("+", "Zoom in (+)", () => this.view.zoomBy(1.4));
    this.button("Fit", "Show the whole picture (0)", () => this.view.fit());
    this.fade = this.slider("Opacity", 0, 1, "opacity", "Opacity of the outlines");
    this.canvas = make("canvas", { class: "dt-stage", tabindex: "0", role: "application" });
    this.canvas.style.height = this.model.get("height");
    this.status = make("div", { class: "dt-status", role: "status", "aria-live": "polite" });
    const keys = make("details", { class: "dt-keys" });
    keys.append(make("summary", {}, "Keys"));
    const list = make("dl", {});
    for (const [key, what] of HELP) list.append(make("dt", {}, key), make("dd", {}, what));
    keys.append(list);
    root.append(this.bar, this.canvas, this.status, keys);
    element.append(root);
    this.root = root;
  }

  // What stays together when the toolbar is too narrow for one line.
  beginGroup() {
    this.group = make("div", { class: "dt-group" });
    this.bar.append(this.group);
  }

  button(text, title, act) {
    const button = make("button", { type: "button", title, "aria-label": title }, text);
    button.addEventListener("click", act);
    this.group.append(button);
    return button;
  }

  slider(text, min, max, trait, title) {
    const label = make("label", { title }, text + " ");
    const input = make("input", { type: "range", min, max, step: max > 1 ? 1 : 0.05, "aria-label": title });
    input.value = this.model.get(trait);
    input.addEventListener("input", () => this.set(trait, Number(input.value)));
    label.append(input);
    this.group.append(label);
    return input;
  }

  refresh() {
    const { model } = this;
    const tool = model.get("tool");
    for (const [name, button] of Object.entries(this.buttons)) {
      button.setAttribute("aria-pressed", String(name === tool));
    }
    this.size.value = model.get("brush");
    this.fade.value = model.get("opacity");
    this.size.disabled = tool !== "brush" && tool !== "erase";
    this.undo.disabled = !model.get("can_undo");
    this.redo.disabled = !model.get("can_redo");
    this.remove.disabled = !model.get("selected");
    this.canvas.setAttribute("aria-label", model.get("label"));
    this.canvas.dataset.tool = tool;
    this.status.textContent = this.silent ? SILENCE : model.get("message");
    this.view.opacity = model.get("opacity");
    if (this.view.ring) this.view.ring.radius = this.radius();
    if (tool !== "polygon") this.view.corners = [];
    this.view.draw();
  }

  tell(text) {
    this.status.textContent = text;
  }

  // --- to and from Python ---------------------------------------------------------------------

  say(type, content = {}, buffers = []) {
    const { scene, version } = this; // of what is on the screen: Python may be ahead
    this.model.send({ type, scene, version, ...content }, undefined, buffers);
    this.asked += 1;
    if (this.asked === 1) this.waitForAnswer();
  }

  sayDelete() {
    this.say("delete", { id: this.model.get("selected") });
  }

  // Python may have ended, and a page does not notice: each word of ours is answered by "heard".
  waitForAnswer() {
    clearTimeout(this.waiting);
    const wasSilent = this.silent;
    this.silent = false;
    if (this.asked) {
      this.waiting = setTimeout(() => {
        this.silent = true;
        this.refresh();
      }, PATIENCE * 1000);
    }
    if (wasSilent) this.refresh();
  }

  set(trait, value) {
    this.model.set(trait, value);
    this.model.save_changes();
  }

  receive(message, buffers) {
    if (message.type === "heard") {
      this.asked = Math.max(0, this.asked - 1);
      this.waitForAnswer();
      return;
    }
    const show = async () => {
      if (message.type === "scene") await this.showScene(message, buffers);
      if (message.type === "patch") await this.showPatch(message, buffers);
    };
    this.work = this.work.then(show).catch((error) => {
      console.error(error);
      this.tell(`This picture cannot be drawn here (${error.message}). Reload the page, or take a smaller picture.`);
    });
  }

  async showScene(message, [png, packed]) {
    const picture = await createImageBitmap(new Blob([png], { type: "image/png" }));
    const ids = new Uint16Array(await unpack(packed));
    const same = this.view.labels && message.name === this.name;
    this.stroke = null;
    this.name = message.name;
    this.scene = message.scene;
    this.version = message.version;
    this.view.cross = null;
    this.view.setScene(picture, new Labels(message.height, message.width, ids), same);
    this.canvas.dataset.scene = message.name;
  }

  async showPatch(box, [packed]) {
    if (!this.view.labels) return; // the scene that is on its way has it already
    const values = new Uint16Array(await unpack(packed));
    this.version = box.version;
    this.view.labels.patch(box, values);
    if (this.stroke) this.stroke.putOn();
    this.view.paintAll();
  }

  // --- tools ----------------------------------------------------------------------------------

  choose(name) {
    if (this.buttons[name]) this.set("tool", name);
  }

  radius() {
    const tool = this.model.get("tool");
    return tool === "brush" || tool === "erase" ? this.model.get("brush") : 0;
  }

  begin(at) {
    const { labels } = this.view;
    const row = Math.round(at.row), col = Math.round(at.col);
    const tool = this.model.get("tool");
    if (tool === "select") return this.select(labels.at(row, col));
    if (tool === "fill") return this.fill(row, col);
    if (tool === "polygon") return this.corner(at);
    this.stroke = new Stroke(labels, tool === "erase" ? 0 : labels.at(row, col) || labels.next());
    this.stroke.start = [row, col];
    this.last = at;
    this.stroke.dab(at.row, at.col, this.model.get("brush"));
    this.repaint();
  }

  goOn(at) {
    this.stroke.line(this.last, at, this.model.get("brush"));
    this.last = at;
    this.repaint();
  }

  end() {
    const { stroke } = this;
    this.stroke = null;
    if (!stroke || !stroke.places.length) return;
    this.say("edit", { id: stroke.id, start: stroke.start ?? [-1, -1], ...stroke.box }, [stroke.bits().buffer]);
    if (stroke.id && this.model.get("selected") !== stroke.id) this.set("selected", stroke.id);
    this.view.paintAll();
  }

  select(id) {
    this.set("selected", id);
    this.tell(id ? `Nucleus ${id} selected` : "Nothing selected");
  }

  selectNext(way) {
    const ids = [...this.view.middles.keys()].sort((a, b) => a - b);
    if (!ids.length) return;
    const at = ids.indexOf(this.model.get("selected"));
    const id = ids[at < 0 ? (way > 0 ? 0 : ids.length - 1) : (at + way + ids.length) % ids.length];
    this.select(id);
  }

  fill(row, col) {
    const { labels } = this.view;
    if (labels.at(row, col)) return this.tell("This place belongs to a nucleus. Click an empty place inside an outline.");
    const inside = row >= 0 && col >= 0 && row < labels.height && col < labels.width;
    const found = inside ? enclosed(labels, row, col) : null;
    if (!found) return this.tell("No outline encloses this place. Close the outline with the brush first.");
    this.stroke = new Stroke(labels, found.id);
    this.stroke.start = found.start;
    for (const place of found.places) this.stroke.touch(Math.floor(place / labels.width), place % labels.width);
    this.repaint();
    this.end();
  }

  corner(at) {
    const { corners } = this.view;
    const first = corners[0];
    const near = first && Math.hypot(first.row - at.row, first.col - at.col) * this.view.zoom < 8;
    if (near && corners.length > 2) return this.closePolygon();
    corners.push(at);
    this.tell(`${corners.length} corners; Enter on the first one, or a double click, closes the outline`);
    this.view.draw();
  }

  closePolygon() {
    const corners = this.view.corners.splice(0);
    if (corners.length < 3) return this.tell("A polygon wants three corners or more.");
    const { labels } = this.view;
    const first = [Math.round(corners[0].row), Math.round(corners[0].col)];
    this.stroke = new Stroke(labels, labels.at(...first) || labels.next());
    this.stroke.start = first;
    this.stroke.polygon(corners);
    this.repaint();
    this.end();
  }

  repaint() {
    const box = this.stroke.takeFresh();
    if (box) this.view.paintBox(box);
  }

  giveUp() {
    if (this.stroke) {
      this.stroke.takeBack();
      this.repaint();
    }
    this.stroke = null;
    this.view.corners = [];
    this.view.draw();
  }

  // --- pointer --------------------------------------------------------------------------------

  listen() {
    const { canvas, model } = this;
    const on = (name, act, options) => canvas.addEventListener(name, act, options);
    on("pointerdown", (event) => this.down(event));
    on("pointermove", (event) => this.move(event));
    on("pointerup", (event) => this.up(event));
    on("pointercancel", (event) => this.up(event));
    on("pointerleave", () => {
      this.view.ring = null;
      this.view.draw();
    });
    on("dblclick", () => this.model.get("tool") === "polygon" && this.closePolygon());
    on("contextmenu", (event) => event.preventDefault());
    on("wheel", (event) => this.wheel(event), { passive: false });
    this.root.addEventListener("keydown", (event) => this.key(event));
    on("keyup", (event) => event.key === " " && (this.spaceHeld = false));
    on("blur", () => (this.spaceHeld = false));
    for (const trait of ["tool", "brush", "opacity", "can_undo", "can_redo", "label", "message"]) {
      model.on(`change:${trait}`, () => this.refresh());
    }
    model.on("change:selected", () => this.showSelected());
    model.on("change:states", () => this.showStates());
    model.on("msg:custom", (message, buffers) => this.receive(message, buffers));
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(canvas);
  }

  resized() {
    const { width } = this.view.size;
    if (!this.seenWidth || Math.abs(width - this.seenWidth) > 40) this.view.fit();
    this.seenWidth = width;
    this.view.draw();
  }

  showStates() {
    const states = this.model.get("states");
    this.view.setStates(states);
    const told = Object.values(states);
    this.canvas.dataset.condensed = told.filter((state) => state === "condensed").length;
  }

  showSelected() {
    const id = this.model.get("selected");
    this.view.selected = id;
    this.view.paintAll();
    const nucleus = this.view.middles.get(id);
    if (nucleus) this.view.reveal(nucleus.row, nucleus.col);
    this.refresh();
  }

  wheel(event) {
    event.preventDefault();
    const frame = this.canvas.getBoundingClientRect();
    this.view.zoomBy(Math.exp(-event.deltaY / 400), event.clientX - frame.left, event.clientY - frame.top);
  }

  down(event) {
    if (!this.view.labels) return;
    this.canvas.focus({ preventScroll: true });
    this.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, event);
    this.view.cross = null;
    if (this.pointers.size === 2) return this.giveUp(); // two fingers move and zoom
    this.dragging = event.button === 1 || this.spaceHeld || this.model.get("tool") === "move";
    if (!this.dragging && event.button === 0) this.begin(this.view.place(event));
    this.measure(event);
  }

  move(event) {
    const before = this.pointers.get(event.pointerId);
    this.view.ring = { ...this.view.place(event), radius: this.radius() };
    if (before) this.pointers.set(event.pointerId, event);
    if (before && this.pointers.size === 2) return this.pinch(event, before);
    if (before && this.dragging) {
      return this.view.moveBy(event.clientX - before.clientX, event.clientY - before.clientY);
    }
    if (this.stroke) {
      const passed = event.getCoalescedEvents?.() ?? [];
      for (const one of passed.length ? passed : [event]) this.goOn(this.view.place(one));
      this.measure(event);
    }
    this.view.draw();
  }

  up(event) {
    this.pointers.delete(event.pointerId);
    this.dragging = false;
    if (event.type === "pointercancel") this.giveUp();
    this.end();
  }

  pinch(event, before) {
    const other = [...this.pointers.values()].find((one) => one.pointerId !== event.pointerId);
    const distance = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
    const frame = this.canvas.getBoundingClientRect();
    const middle = [(event.clientX + other.clientX) / 2 - frame.left, (event.clientY + other.clientY) / 2 - frame.top];
    this.view.moveBy((event.clientX - before.clientX) / 2, (event.clientY - before.clientY) / 2);
    this.view.zoomBy(distance(event) / Math.max(distance(before), 1), ...middle);
  }

  // How long from the hand to the drawn picture, in ms: kept for those who measure.
  measure(event) {
    const since = event.timeStamp;
    this.view.draw(() => {
      const times = (this.canvas.paintTimes ??= []);
      times.push(performance.now() - since);
      if (times.length > 10000) times.splice(0, 5000);
    });
  }

  // --- keys -----------------------------------------------------------------------------------

  key(event) {
    event.stopPropagation(); // the notebook has keys of its own
    const onCanvas = event.target === this.canvas;
    const command = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    let done = true;
    if (command && key === "z") this.say(event.shiftKey ? "redo" : "undo");
    else if (command && key === "y") this.say("redo");
    else if (command || event.altKey) done = false;
    else if (key === "pagedown") this.say("next");
    else if (key === "pageup") this.say("previous");
    else if (!onCanvas) done = false;
    else done = this.canvasKey(event, key);
    if (done) event.preventDefault();
  }

  canvasKey(event, key) {
    const tool = Object.keys(TOOLS).find((name) => TOOLS[name][1] === key);
    const steps = { arrowup: [-1, 0], arrowdown: [1, 0], arrowleft: [0, -1], arrowright: [0, 1] };
    if (tool) this.choose(tool);
    else if (key === "[") this.set("brush", Math.max(1, this.model.get("brush") - 1));
    else if (key === "]") this.set("brush", Math.min(60, this.model.get("brush") + 1));
    else if (key === "+" || key === "=") this.view.zoomBy(1.4);
    else if (key === "-") this.view.zoomBy(1 / 1.4);
    else if (key === "0") this.view.fit();
    else if (key === "n") this.selectNext(event.shiftKey ? -1 : 1);
    else if (key === "delete" || key === "backspace") this.sayDelete();
    else if (key === "escape") this.giveUp();
    else if (key === " ") this.spaceHeld = true;
    else if (steps[key]) this.moveCross(...steps[key], event.shiftKey ? 10 : 1);
    else if (key === "enter") this.useAtCross(event.shiftKey);
    else return false;
    return true;
  }

  moveCross(rows, cols, times) {
    const { labels } = this.view;
    if (!labels) return;
    const at = this.view.cross ?? { row: Math.floor(labels.height / 2), col: Math.floor(labels.width / 2) };
    const row = Math.min(labels.height - 1, Math.max(0, at.row + rows * times));
    const col = Math.min(labels.width - 1, Math.max(0, at.col + cols * times));
    this.view.cross = { row, col };
    this.view.ring = { row, col, radius: this.radius() };
    this.view.reveal(row, col);
    const id = labels.at(row, col);
    this.tell(`Row ${row}, column ${col}: ${id ? `nucleus ${id}` : "no nucleus"}`);
  }

  useAtCross(shift) {
    if (this.model.get("tool") === "polygon" && shift) return this.closePolygon();
    if (!this.view.cross) this.moveCross(0, 0, 0);
    if (!this.view.cross || this.model.get("tool") === "move") return;
    this.begin(this.view.cross);
    this.end();
  }
}

function make(name, attributes, text) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  return element;
}

// zlib, as Python packs it.
async function unpack(packed) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

export default {
  render({ model, el }) {
    const widget = new CanvasWidget(model, el);
    return () => widget.observer.disconnect();
  },
};
