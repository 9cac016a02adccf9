// How the picture and its nuclei are drawn: zoom and place, outlines, numbers, the brush's ring.
// Colours are Okabe and Ito's; the selected nucleus has a thicker outline as well as another colour,
// and so has a condensed one, with a letter behind its number.

const ORANGE = [230, 159, 0], BLUE = [86, 180, 233], PURPLE = [204, 121, 167];
const MARKS = { condensed: "c", unsure: "?" }; // behind the number of a nucleus
const SURROUND = "#262626";

class View {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.overlay = document.createElement("canvas");
    this.picture = null;
    this.labels = null;
    this.middles = new Map();
    this.selected = 0;
    this.states = new Map(); // the state of each nucleus, by id, where it was told
    this.opacity = 1;
    this.zoom = 1; // screen pixels for one pixel of the picture
    this.left = 0; // where the picture's corner lies on the screen
    this.top = 0;
    this.ring = null; // {row, col, radius}: the brush, where the pointer is
    this.cross = null; // {row, col}: the place that the keys move
    this.corners = []; // of a polygon that is not closed yet
    this.waiting = false;
  }

  setScene(picture, labels, keepPlace) {
    if (this.picture !== picture) this.picture?.close(); // else it keeps its memory
    this.picture = picture;
    this.labels = labels;
    this.overlay.width = labels.width;
    this.overlay.height = labels.height;
    this.corners = [];
    if (!keepPlace) this.fit();
    this.paintAll();
  }

  setStates(states) {
    this.states = new Map(Object.entries(states).map(([id, state]) => [Number(id), state]));
    this.paintAll();
  }

  // --- places ---------------------------------------------------------------------------------

  get size() {
    return { width: this.canvas.clientWidth, height: this.canvas.clientHeight };
  }

  fit() {
    if (!this.labels) return;
    const { width, height } = this.size;
    this.zoom = Math.min(width / this.labels.width, height / this.labels.height) || 1;
    this.left = (width - this.zoom * this.labels.width) / 2;
    this.top = (height - this.zoom * this.labels.height) / 2;
    this.draw();
  }

  // Zoom by a factor; the place at x, y stays where it is.
  zoomBy(factor, x = this.size.width / 2, y = this.size.height / 2) {
    const zoom = Math.min(64, Math.max(0.02, this.zoom * factor));
    this.left = x - (zoom / this.zoom) * (x - this.left);
    this.top = y - (zoom / this.zoom) * (y - this.top);
    this.zoom = zoom;
    this.draw();
  }

  moveBy(x, y) {
    this.left += x;
    this.top += y;
    this.draw();
  }

  // From the screen to the picture: 0, 0 is the centre of the first pixel.
  place(event) {
    const frame = this.canvas.getBoundingClientRect();
    return {
      row: (event.clientY - frame.top - this.top) / this.zoom - 0.5,
      col: (event.clientX - frame.left - this.left) / this.zoom - 0.5,
    };
  }

  toScreen(row, col) {
    return [this.left + (col + 0.5) * this.zoom, this.top + (row + 0.5) * this.zoom];
  }

  // Bring a place into sight when it is outside.
  reveal(row, col) {
    const [x, y] = this.toScreen(row, col);
    const { width, height } = this.size;
    if (x < 20 || x > width - 20) this.left += width / 2 - x;
    if (y < 20 || y > height - 20) this.top += height / 2 - y;
    this.draw();
  }

  // --- outlines -------------------------------------------------------------------------------

  paintAll() {
    if (!this.labels) return;
    this.middles = this.labels.middles();
    this.paintBox({ row: 0, col: 0, height: this.labels.height, width: this.labels.width });
  }

  // An outline must still be seen when a large picture is shown small.
  get thickness() {
    return Math.max(1, Math.round(Math.max(this.labels.width, this.labels.height) / 700));
  }

  // Draw the outlines in a box anew, and a margin round it, whose outlines the box may change.
  paintBox(box) {
    const margin = 2 * this.thickness + 1;
    const { width, height } = this.labels;
    const top = Math.max(0, box.row - margin), left = Math.max(0, box.col - margin);
    const bottom = Math.min(height, box.row + box.height + margin);
    const right = Math.min(width, box.col + box.width + margin);
    if (bottom <= top || right <= left) return;
    const pixels = new ImageData(right - left, bottom - top);
    for (let row = top, i = 0; row < bottom; row++) {
      for (let col = left; col < right; col++, i += 4) this.paintPixel(pixels.data, i, row, col);
    }
    this.overlay.getContext("2d").putImageData(pixels, left, top);
    this.draw();
  }

  paintPixel(data, i, row, col) {
    const { width, ids } = this.labels;
    const id = ids[row * width + col];
    if (id === 0) {
      if (this.isNextToNucleus(row, col)) data[i + 3] = 140; // a dark rim shows on white
      return;
    }
    const chosen = id === this.selected;
    const condensed = this.states.get(id) === "condensed";
    const thick = chosen || condensed ? 2 * this.thickness : this.thickness;
    const edge = this.isEdge(row, col, id, thick);
    [data[i], data[i + 1], data[i + 2]] = chosen ? BLUE : condensed ? PURPLE : ORANGE;
    data[i + 3] = edge ? 255 : chosen ? 70 : 30;
  }

  isEdge(row, col, id, thickness) {
    const { width, height, ids } = this.labels;
    const place = row * width + col;
    for (let k = 1; k <= thickness; k++) {
      if (row < k || col < k || row + k >= height || col + k >= width) return true;
      if (ids[place - k] !== id || ids[place + k] !== id) return true;
      if (ids[place - k * width] !== id || ids[place + k * width] !== id) return true;
    }
    return false;
  }

  isNextToNucleus(row, col) {
    const { labels } = this;
    const place = row * labels.width + col;
    return (
      (col > 0 && labels.ids[place - 1]) || (col + 1 < labels.width && labels.ids[place + 1]) ||
      (row > 0 && labels.ids[place - labels.width]) ||
      (row + 1 < labels.height && labels.ids[place + labels.width])
    );
  }

  // --- on the screen --------------------------------------------------------------------------

  // At the browser's next frame; many wishes in between are one drawing.
  draw(after) {
    if (after) (this.afters ??= []).push(after);
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.drawNow();
      (this.afters ?? []).splice(0).forEach((tell) => tell());
    });
  }

  drawNow() {
    const { width, height } = this.size;
    const ratio = window.devicePixelRatio || 1;
    if (this.canvas.width !== Math.round(width * ratio)) this.canvas.width = Math.round(width * ratio);
    if (this.canvas.height !== Math.round(height * ratio)) this.canvas.height = Math.round(height * ratio);
    const pen = this.context;
    pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    pen.globalAlpha = 1;
    pen.fillStyle = SURROUND;
    pen.fillRect(0, 0, width, height);
    if (!this.labels) return;
    pen.imageSmoothingEnabled = this.zoom < 2; // close up one sees the pixels themselves
    pen.imageSmoothingQuality = "high";
    const place = [this.left, this.top, this.zoom * this.labels.width, this.zoom * this.labels.height];
    pen.drawImage(this.picture, ...place);
    pen.globalAlpha = this.opacity;
    pen.drawImage(this.overlay, ...place);
    this.drawNumbers(pen);
    pen.globalAlpha = 1;
    this.drawTools(pen);
  }

  drawNumbers(pen) {
    pen.font = "600 12px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.lineWidth = 3;
    pen.strokeStyle = "black";
    for (const [id, nucleus] of this.middles) {
      if (2 * Math.sqrt(nucleus.area / Math.PI) * this.zoom < 16 && id !== this.selected) continue;
      const [x, y] = this.toScreen(nucleus.row, nucleus.col);
      const text = `${id}${MARKS[this.states.get(id)] ?? ""}`;
      pen.fillStyle = "white";
      pen.strokeText(text, x, y);
      pen.fillText(text, x, y);
    }
  }

  drawTools(pen) {
    if (this.corners.length) {
      pen.beginPath();
      for (const { row, col } of this.corners) pen.lineTo(...this.toScreen(row, col));
      if (this.ring) pen.lineTo(...this.toScreen(this.ring.row, this.ring.col));
      this.strokeTwice(pen);
      const [x, y] = this.toScreen(this.corners[0].row, this.corners[0].col);
      pen.strokeRect(x - 4, y - 4, 8, 8);
    }
    if (this.ring && this.ring.radius > 0) {
      pen.beginPath();
      pen.arc(...this.toScreen(this.ring.row, this.ring.col), this.ring.radius * this.zoom, 0, 7);
      this.strokeTwice(pen);
    }
    if (this.cross) {
      const [x, y] = this.toScreen(this.cross.row, this.cross.col);
      pen.beginPath();
      pen.moveTo(x - 12, y);
      pen.lineTo(x + 12, y);
      pen.moveTo(x, y - 12);
      pen.lineTo(x, y + 12);
      this.strokeTwice(pen);
    }
  }

  // Black below white: seen on any grey.
  strokeTwice(pen) {
    for (const [colour, width] of [["black", 3.5], ["white", 1.5]]) {
      pen.strokeStyle = colour;
      pen.lineWidth = width;
      pen.stroke();
    }
  }
}
