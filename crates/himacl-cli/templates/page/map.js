"use strict";
// Both sides on a plane, with a line from each item to its partner.

const POINT_SHADER = [`#version 300 es
in vec2 place; in vec4 tint; in float single;
uniform vec2 scale, shift; uniform float size;
out vec4 colour; out float cross;
void main() {
  gl_Position = vec4(place * scale + shift, 0.0, 1.0);
  gl_PointSize = size * (1.0 + 0.4 * single); colour = tint; cross = single;
}`, `#version 300 es
precision mediump float;
in vec4 colour; in float cross; uniform float ring; out vec4 result;
void main() {
  vec2 at = abs(gl_PointCoord - 0.5) * 2.0;
  // Single items: a cross, of y an upright one.
  if (cross > 0.5 && (ring > 0.0 ? min(at.x, at.y) > 0.2 : abs(at.x - at.y) > 0.28)) discard;
  if (cross < 0.5 && (length(at) > 1.0 || length(at) < ring)) discard;
  result = colour;
}`];
const LINE_SHADER = [`#version 300 es
in vec2 place; in vec4 tint;
uniform vec2 scale, shift; uniform float strength;
out vec4 colour;
void main() {
  gl_Position = vec4(place * scale + shift, 0.0, 1.0);
  colour = vec4(tint.rgb, strength);
}`, `#version 300 es
precision mediump float;
in vec4 colour; out vec4 result;
void main() { result = vec4(colour.rgb * colour.a, colour.a); }`];

// Shares of what is drawn while the map moves, chosen so that a frame takes no longer than this; all of it when it rests.
const FRAME_MILLISECONDS = 30, LEAST_SHARE = 0.02, REST_MILLISECONDS = 160;
// Pairs beyond which smooth edges are left out, and a move begins with a part.
const MANY = 20000;
// Partners that are shown beside the pointer.
const TIP_PARTNERS = 4;

const Map2 = {
  share: 1,
  build(data, section) {
    Map2.data = data;
    const select = element("select", { id: "map-colour", on: { change: () => Map2.paint() } },
      Colours.ways(data).map(({ key, name }) => element("option", { value: key }, name)));
    Map2.layouts = element("select", { id: "map-layout", on: { change: () => Map2.lay() } },
      [["plane", "directions of agreement"], ["near", "neighbours (t-SNE)"]].map(([key, name]) => element("option", { value: key }, name)));
    Map2.note = element("span", {}, Map2.said("plane"));
    const lines = element("input", { type: "checkbox", id: "map-lines", checked: true, on: { change: () => Map2.draw() } });
    const canvas = element("canvas", { tabindex: "0", id: "map-canvas", role: "application",
      "aria-label": "Map of both sides. Arrows move, plus and minus zoom, 0 shows all, Enter opens the item nearest to the middle." });
    Map2.canvas = canvas;
    Map2.tip = element("div", { id: "map-tip", hidden: true });
    Map2.brush = element("div", { id: "map-brush", hidden: true });
    Map2.key = element("div", { id: "map-key", role: "status", "aria-label": "Colours" });
    section.append(
      element("div", { class: "bar" }, data.nearX && element("label", {}, "Layout", Map2.layouts), element("label", {}, "Colour by", select), element("label", {}, lines, "Lines to partners"),
        element("button", { type: "button", on: { click: () => Map2.reset() } }, "Show all"), Map2.key),
      element("div", { id: "map-box" }, canvas, Map2.brush, Map2.tip),
      element("p", { class: "small" }, `Discs are x, rings are y,${data.singles.length ? " crosses are single items (upright ones of y)," : ""} each side about its own mean, `, Map2.note, `Wheel or + and - zoom, dragging or arrows move, dragging with Shift marks pairs for the list, a click opens a pair.`
        + (data.allPairs > data.pairs ? ` A random sample of ${data.pairs} of ${data.allPairs} pairs.` : "")));
    const gl = canvas.getContext("webgl2", { alpha: false, antialias: data.pairs < MANY });
    Map2.share = Math.min(MANY / data.pairs, 1);
    if (!gl) {
      section.prepend(element("p", { class: "warning" }, "This browser draws no WebGL 2: the map cannot be shown. All other views work."));
      return;
    }
    Map2.gl = gl;
    Map2.points = twgl.createProgramInfo(gl, POINT_SHADER);
    Map2.lines = twgl.createProgramInfo(gl, LINE_SHADER);
    Map2.fill();
    Map2.listen();
    new ResizeObserver(() => Map2.draw()).observe(canvas);
    Map2.reset();
    Map2.paint();
  },

  said(layout) {
    return layout === "near" ? "neighbours in the directions beside one another: what is far apart may be so in any way. " : "in the two directions in which the pairs agree most. ";
  },

  /// Takes the chosen layout.
  lay() {
    const { data, gl, buffers } = Map2, name = Map2.layouts.value;
    data.sides.forEach((side) => { side.plane = data[name + side.side]; });
    Map2.note.textContent = Map2.said(name);
    if (!gl) return;
    for (const [key, place] of [["x", data.sides[0].plane], ["y", data.sides[1].plane], ["line", Map2.ends()]]) twgl.setAttribInfoBufferFromArray(gl, buffers[key].attribs.place, place);
    Map2.reset();
  },

  /// Both ends of all lines.
  ends() {
    const { data } = Map2, [x, y] = data.sides, ends = new Uint16Array(4 * data.pairs);
    for (let pair = 0; pair < data.pairs; pair++) {
      const i = data.pairX[pair], j = data.pairY[pair];
      ends.set(x.plane.subarray(2 * i, 2 * i + 2), 4 * pair);
      ends.set(y.plane.subarray(2 * j, 2 * j + 2), 4 * pair + 2);
    }
    return ends;
  },

  /// Places go to the device once.
  fill() {
    const { data, gl } = Map2, ends = Map2.ends();
    const singles = (side) => Uint8Array.from({ length: side.count }, (_, item) => (side.pairs(item).length ? 0 : 255));
    // In a random order, the first of which are a fair sample: lines by both their ends.
    const shuffled = (count, per) => {
      const order = new Uint32Array(count / per);
      let state = 1;
      for (let at = 0; at < order.length; at++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
        const other = state % (at + 1);
        order[at] = order[other];
        order[other] = at;
      }
      return per === 1 ? order : Uint32Array.from({ length: count }, (_, at) => order[at >> 1] * 2 + (at & 1));
    };
    const buffers = (place, count, per, extra) => twgl.createBufferInfoFromArrays(gl, {
      indices: shuffled(count, per),
      place: { numComponents: 2, data: place, normalize: true },
      tint: { numComponents: 4, data: new Uint8Array(4 * count), normalize: true },
      ...extra,
    });
    const points = (side) => buffers(side.plane, side.count, 1, { single: { numComponents: 1, data: singles(side), normalize: true } });
    Map2.buffers = { x: points(data.sides[0]), y: points(data.sides[1]), line: buffers(ends, 2 * data.pairs, 2) };
  },

  /// Colours by the chosen way, which the key explains.
  paint() {
    const { data, gl } = Map2;
    if (!gl) return;
    const chosen = document.getElementById("map-colour").value, way = Colours.ways(data).find(({ key }) => key === chosen);
    Map2.key.replaceChildren(...way.legend());
    const fill = (count, itemOf) => {
      const tints = new Uint8Array(4 * count);
      for (let at = 0; at < count; at++) {
        const [r, g, b] = way.of(...itemOf(at));
        tints[4 * at] = r; tints[4 * at + 1] = g; tints[4 * at + 2] = b; tints[4 * at + 3] = 255;
      }
      return tints;
    };
    // The ends of a line have the colours of their items.
    const [x, y] = data.sides, ofLine = (at) => (at & 1 ? [y, data.pairY[at >> 1], at >> 1] : [x, data.pairX[at >> 1], at >> 1]);
    for (const [name, count, itemOf] of [["x", data.n, (i) => [x, i]], ["y", data.m, (j) => [y, j]], ["line", 2 * data.pairs, ofLine]]) {
      twgl.setAttribInfoBufferFromArray(gl, Map2.buffers[name].attribs.tint, fill(count, itemOf));
    }
    Map2.draw();
  },

  reset() { Map2.zoom = 1; Map2.middle = [0.5, 0.5]; Map2.draw(); },

  /// From the unit square to the canvas: one scale for both axes, so that distances look as they are.
  view() {
    const { clientWidth: width, clientHeight: height } = Map2.canvas, side = Math.min(width, height) * 0.96 * Map2.zoom;
    return { width, height, side };
  },

  /// Draws because the view moves: less than all of it where the machine is slow, and all of it a little later.
  move() {
    Map2.moving = true;
    clearTimeout(Map2.rest);
    // While something is held, it moves on.
    if (!Map2.held) Map2.rest = setTimeout(() => { Map2.moving = false; Map2.last = undefined; Map2.draw(); }, REST_MILLISECONDS);
    Map2.draw();
  },

  /// More or less while moving, by how long the last frame took.
  pace() {
    const now = performance.now(), took = now - Map2.last;
    if (took < 1000) Map2.share = Math.min(Math.max(Map2.share * Math.min(Math.max(FRAME_MILLISECONDS / took, 0.3), 1.15), LEAST_SHARE), 1);
    Map2.last = now;
    return Map2.share;
  },

  draw() {
    if (Map2.gl && !Map2.drawing) Map2.drawing = requestAnimationFrame(() => { Map2.drawing = 0; Map2.drawNow(); });
  },

  drawNow() {
    const { gl, canvas, buffers, middle } = Map2, { width, height, side } = Map2.view();
    if (!width) return;
    const share = Map2.moving ? Map2.pace() : 1;
    twgl.resizeCanvasToDisplaySize(canvas, window.devicePixelRatio || 1);
    gl.viewport(0, 0, canvas.width, canvas.height);
    const dark = matchMedia("(prefers-color-scheme: dark)").matches;
    gl.clearColor(...(dark ? [0.05, 0.067, 0.09, 1] : [1, 1, 1, 1]));
    gl.clear(gl.COLOR_BUFFER_BIT);
    gl.enable(gl.BLEND);
    gl.blendFunc(gl.ONE, gl.ONE_MINUS_SRC_ALPHA);
    const scale = [2 * side / width, 2 * side / height], shift = [-middle[0] * scale[0], -middle[1] * scale[1]];
    const pixels = window.devicePixelRatio || 1, many = Math.max(Map2.data.n, Map2.data.m);
    const size = Math.min(Math.max(240 / Math.sqrt(many), 2) * Math.sqrt(Map2.zoom), 16) * pixels;
    const render = (program, buffer, mode, uniforms) => {
      gl.useProgram(program.program);
      twgl.setBuffersAndAttributes(gl, program, buffer);
      twgl.setUniforms(program, { scale, shift, ...uniforms });
      twgl.drawBufferInfo(gl, buffer, mode, Math.min(2 * Math.ceil(share * buffer.numElements / 2), buffer.numElements));
    };
    if (document.getElementById("map-lines").checked) {
      render(Map2.lines, buffers.line, gl.LINES, { strength: Math.min(Math.max(800 / Map2.data.pairs * Math.sqrt(Map2.zoom), 0.04), 0.7) });
    }
    render(Map2.points, buffers.x, gl.POINTS, { size, ring: 0 });
    render(Map2.points, buffers.y, gl.POINTS, { size: size * 1.25, ring: 0.55 });
    Map2.frames = (Map2.frames ?? 0) + 1;
  },

  /// The unit square's place under a pixel of the canvas.
  placeAt(px, py) {
    const { width, height, side } = Map2.view();
    return [Map2.middle[0] + (px - width / 2) / side, Map2.middle[1] - (py - height / 2) / side];
  },

  /// The item nearest to a pixel, within some pixels.
  nearest(px, py, within) {
    const { data } = Map2, [u, v] = Map2.placeAt(px, py), { side } = Map2.view();
    let best = null, least = (within / side * 65535) ** 2;
    for (const of of data.sides) {
      for (let at = 0; at < of.count; at++) {
        const far = (of.plane[2 * at] - 65535 * u) ** 2 + (of.plane[2 * at + 1] - 65535 * v) ** 2;
        if (far < least) { least = far; best = [of, at]; }
      }
    }
    return best;
  },

  zoomBy(factor, px, py) {
    const before = Map2.placeAt(px, py);
    Map2.zoom = Math.min(Math.max(Map2.zoom * factor, 0.5), 4000);
    const after = Map2.placeAt(px, py);
    Map2.middle = Map2.middle.map((value, k) => value + before[k] - after[k]);
    Map2.move();
  },

  listen() {
    const { canvas } = Map2;
    let drag = null;
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      Map2.zoomBy(Math.exp(-event.deltaY * 0.0015), event.offsetX, event.offsetY);
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      drag = { from: [event.offsetX, event.offsetY], middle: Map2.middle, moved: false, brush: event.shiftKey };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      const at = [event.offsetX, event.offsetY];
      if (!drag) return Map2.hover(at);
      drag.moved ||= Math.hypot(at[0] - drag.from[0], at[1] - drag.from[1]) > 4;
      Map2.held = drag.moved && !drag.brush;
      if (!drag.moved) return undefined;
      Map2.tip.hidden = true;
      if (drag.brush) return Map2.frame(drag.from, at);
      const { side } = Map2.view();
      Map2.middle = [drag.middle[0] - (at[0] - drag.from[0]) / side, drag.middle[1] + (at[1] - drag.from[1]) / side];
      return Map2.move();
    });
    canvas.addEventListener("pointerup", (event) => {
      const at = [event.offsetX, event.offsetY], done = drag;
      drag = null;
      Map2.brush.hidden = true;
      if (Map2.held) {
        Map2.held = false;
        Map2.move();
      }
      if (!done) return;
      if (done.moved && done.brush) Map2.mark(done.from, at);
      if (!done.moved) {
        const found = Map2.nearest(at[0], at[1], 14);
        if (found) App.show(...found);
      }
    });
    canvas.addEventListener("pointerleave", () => { Map2.tip.hidden = true; });
    canvas.addEventListener("keydown", (event) => {
      const { width, height, side } = Map2.view(), step = 60 / side;
      const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] };
      if (moves[event.key]) Map2.middle = Map2.middle.map((value, k) => value + moves[event.key][k]);
      else if (event.key === "+" || event.key === "=") Map2.zoomBy(1.4, width / 2, height / 2);
      else if (event.key === "-") Map2.zoomBy(1 / 1.4, width / 2, height / 2);
      else if (event.key === "0") Map2.reset();
      else if (event.key === "Enter") {
        const found = Map2.nearest(width / 2, height / 2, Infinity);
        if (found) App.show(...found);
      } else return;
      event.preventDefault();
      Map2.move();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => Map2.draw());
  },

  hover([px, py]) {
    const found = Map2.nearest(px, py, 12), tip = Map2.tip;
    tip.hidden = !found;
    if (!found) return;
    const [side, item] = found, other = Map2.data.sides[1 - side.at], partners = [...side.pairs(item)].map((pair) => Map2.data.ends[other.at][pair]);
    const chosen = document.getElementById("map-colour").value, way = Colours.columns().find(({ key }) => key === chosen);
    tip.replaceChildren(Items.item(side, item), ...(way ? [Colours.value(way, side, item)].filter(Boolean) : []), ...(partners.length ? partners.slice(0, TIP_PARTNERS).map((partner) => element("div", {}, Items.item(other, partner))) : [element("div", {}, "single: no partner")]),
      ...(partners.length > TIP_PARTNERS ? [element("div", {}, `and ${partners.length - TIP_PARTNERS} more partners`)] : []));
    tip.style.left = `${Math.min(px + 14, Map2.canvas.clientWidth - tip.offsetWidth - 4)}px`;
    tip.style.top = `${Math.min(py + 14, Map2.canvas.clientHeight - tip.offsetHeight - 4)}px`;
  },

  frame([ax, ay], [bx, by]) {
    Map2.brush.hidden = false;
    Object.assign(Map2.brush.style, { left: `${Math.min(ax, bx)}px`, top: `${Math.min(ay, by)}px`, width: `${Math.abs(ax - bx)}px`, height: `${Math.abs(ay - by)}px` });
  },

  /// Takes the pairs with an end in the frame to the list.
  mark(from, to) {
    const { data } = Map2, [a, b] = [Map2.placeAt(...from), Map2.placeAt(...to)];
    const low = [Math.min(a[0], b[0]), Math.min(a[1], b[1])], high = [Math.max(a[0], b[0]), Math.max(a[1], b[1])];
    const inside = (plane, at) => [0, 1].every((k) => plane[2 * at + k] >= 65535 * low[k] && plane[2 * at + k] <= 65535 * high[k]);
    const marked = [];
    for (let pair = 0; pair < data.pairs; pair++) if (inside(data.sides[0].plane, data.pairX[pair]) || inside(data.sides[1].plane, data.pairY[pair])) marked.push(pair);
    data.singles.forEach(([side, item], at) => { if (inside(side.plane, item)) marked.push(data.pairs + at); });
    Pairs.only(marked, `${Pairs.counted(marked)} marked on the map`);
  },
};
