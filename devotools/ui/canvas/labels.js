// Which pixel belongs to which nucleus, in the browser. Nothing in this file knows a screen.

const UNCHANGED = 65535; // in a patch from Python: leave this pixel as it is

class Labels {
  constructor(height, width, ids) {
    this.height = height;
    this.width = width;
    this.ids = ids; // Uint16Array, row by row; 0 is background
  }

  at(row, col) {
    const inside = row >= 0 && col >= 0 && row < this.height && col < this.width;
    return inside ? this.ids[row * this.width + col] : 0;
  }

  next() {
    let most = 0;
    for (const id of this.ids) if (id > most) most = id;
    return most + 1;
  }

  // Each nucleus with its number of pixels and its middle, by id.
  middles() {
    const found = new Map();
    for (let row = 0, i = 0; row < this.height; row++) {
      for (let col = 0; col < this.width; col++, i++) {
        const id = this.ids[i];
        if (id === 0) continue;
        const one = found.get(id) ?? { area: 0, row: 0, col: 0 };
        one.area += 1;
        one.row += row;
        one.col += col;
        found.set(id, one);
      }
    }
    for (const one of found.values()) {
      one.row /= one.area;
      one.col /= one.area;
    }
    return found;
  }

  // Values of a box that Python sent.
  patch(box, values) {
    for (let row = 0, from = 0; row < box.height; row++) {
      const to = (box.row + row) * this.width + box.col;
      for (let col = 0; col < box.width; col++, from++) {
        if (values[from] !== UNCHANGED) this.ids[to + col] = values[from];
      }
    }
  }
}

// One stroke of brush, eraser, polygon or fill. It changes the labels at once, remembers what was
// there, and can be taken back or sent to Python as a box of bits.
class Stroke {
  constructor(labels, id) {
    this.labels = labels;
    this.id = id; // 0 erases; a brush never paints over another nucleus
    this.places = []; // indices of the changed pixels, and
    this.before = []; // what they were
    this.box = null;
    this.fresh = null; // the box that changed since it was asked for last
  }

  touch(row, col) {
    const { width, height, ids } = this.labels;
    if (row < 0 || col < 0 || row >= height || col >= width) return;
    const place = row * width + col;
    const old = ids[place];
    if (old === this.id || (this.id !== 0 && old !== 0)) return;
    this.places.push(place);
    this.before.push(old);
    ids[place] = this.id;
    this.box = widen(this.box, row, col);
    this.fresh = widen(this.fresh, row, col);
  }

  // A disc of radius pixels around a place; places may lie between pixels.
  dab(row, col, radius) {
    const low = Math.floor(row - radius), high = Math.ceil(row + radius);
    for (let r = low; r <= high; r++) {
      const half2 = radius * radius - (r - row) * (r - row);
      if (half2 < 0) continue;
      const half = Math.sqrt(half2);
      for (let c = Math.ceil(col - half); c <= Math.floor(col + half); c++) this.touch(r, c);
    }
    this.touch(Math.round(row), Math.round(col)); // a brush below one pixel paints one
  }

  line(from, to, radius) {
    const steps = Math.ceil(Math.hypot(to.row - from.row, to.col - from.col) / Math.max(radius / 3, 0.5));
    for (let k = 1; k <= Math.max(steps, 1); k++) {
      const part = k / Math.max(steps, 1);
      this.dab(from.row + part * (to.row - from.row), from.col + part * (to.col - from.col), radius);
    }
  }

  // The pixels whose centres a closed outline encloses, by the even-odd rule, and those below it.
  polygon(points) {
    const rows = points.map((p) => p.row);
    for (let row = Math.ceil(Math.min(...rows)); row <= Math.max(...rows); row++) {
      const crossings = [];
      points.forEach((a, k) => {
        const b = points[(k + 1) % points.length];
        if (a.row <= row === b.row <= row) return;
        crossings.push(a.col + ((row - a.row) / (b.row - a.row)) * (b.col - a.col));
      });
      crossings.sort((x, y) => x - y);
      for (let k = 0; k + 1 < crossings.length; k += 2) {
        for (let col = Math.ceil(crossings[k]); col <= crossings[k + 1]; col++) this.touch(row, col);
      }
    }
    points.forEach((a, k) => this.line(a, points[(k + 1) % points.length], 0));
  }

  takeBack(places = this.places, before = this.before) {
    places.forEach((place, k) => (this.labels.ids[place] = before[k]));
    this.fresh = this.box;
  }

  // After a patch from Python: the stroke in hand lies on top again.
  putOn() {
    for (const place of this.places) this.labels.ids[place] = this.id;
  }

  takeFresh() {
    const box = this.fresh;
    this.fresh = null;
    return box;
  }

  // The box as bits, the first pixel in the lowest bit of the first byte.
  bits() {
    const { row, col, height, width } = this.box;
    const bytes = new Uint8Array(Math.ceil((height * width) / 8));
    for (const place of this.places) {
      const r = Math.floor(place / this.labels.width) - row;
      const c = (place % this.labels.width) - col;
      const bit = r * width + c;
      bytes[bit >> 3] |= 1 << (bit & 7);
    }
    return bytes;
  }
}

// The empty pixels that hang together with a place, or null where they reach the picture's border.
// Also the nucleus that encloses them: the one with most pixels along the rim.
function enclosed(labels, row, col) {
  const { width, height, ids } = labels;
  const start = row * width + col;
  const seen = new Uint8Array(width * height);
  const places = [start];
  const rim = new Map(); // of each nucleus around it: how often it was met, and where
  seen[start] = 1;
  for (let k = 0; k < places.length; k++) {
    const r = Math.floor(places[k] / width), c = places[k] % width;
    if (r === 0 || c === 0 || r === height - 1 || c === width - 1) return null;
    for (const near of [places[k] - width, places[k] + width, places[k] - 1, places[k] + 1]) {
      if (ids[near] !== 0) rim.set(ids[near], { count: (rim.get(ids[near])?.count ?? 0) + 1, near });
      else if (!seen[near]) {
        seen[near] = 1;
        places.push(near);
      }
    }
  }
  const [id, { near }] = [...rim].sort((a, b) => b[1].count - a[1].count)[0];
  return { places, id, start: [Math.floor(near / width), near % width] };
}

function widen(box, row, col) {
  if (!box) return { row, col, height: 1, width: 1 };
  const top = Math.min(box.row, row), left = Math.min(box.col, col);
  return {
    row: top,
    col: left,
    height: Math.max(box.row + box.height, row + 1) - top,
    width: Math.max(box.col + box.width, col + 1) - left,
  };
}
