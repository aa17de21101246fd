"use strict";
// What lies between an item and its partner.

const Path = {
  build(data, section) {
    Path.data = data;
    Path.slider = element("input", { type: "range", min: "0", max: "100", value: "50", id: "path-t", on: { input: () => Path.here() } });
    Path.place = element("div", { id: "path-here" });
    Path.steps = element("div", { id: "path-steps" });
    section.append(element("div", { id: "path-ends", class: "two" }),
      element("div", { class: "bar" }, element("label", {}, "From x to y", Path.slider), element("output", { id: "path-value", for: "path-t" })), Path.place,
      element("h2", {}, "In steps"), Path.steps,
      element("p", { class: "small" }, `Nearest by the ${data.width} directions in which the pairs agree most, each side about its own mean; explain --json has them in all coordinates.`));
  },

  show(i, j) {
    const [x, y] = Path.data.sides, isPair = i !== NONE && j !== NONE;
    Path.now = isPair ? [i, j] : null;
    Path.slider.disabled = !isPair;
    if (!isPair) {
      document.getElementById("path-ends").replaceChildren(i !== NONE ? Items.link(x, i, 64) : Items.link(y, j, 64), element("p", {}, "A single item: there is no way to a partner."));
      Path.place.replaceChildren();
      Path.steps.replaceChildren();
      return;
    }
    document.getElementById("path-ends").replaceChildren(Items.link(x, i, 64), Items.link(y, j, 64));
    Path.steps.replaceChildren(...[0, 25, 50, 75, 100].map((percent) => Path.row(percent)));
    Path.here();
  },

  here() {
    if (!Path.now) return;
    document.getElementById("path-value").textContent = `${Path.slider.value}%`;
    Path.place.replaceChildren(Path.row(Number(Path.slider.value)));
  },

  row(percent) {
    const near = Path.nearest(percent / 100, 4);
    return element("div", { class: "card" }, element("div", { class: "small" }, `${percent}% of the way`),
      element("div", { class: "two" }, near.map((items, at) => element("div", { class: "thumbs" }, items.map((item) => Items.link(Path.data.sides[at], item, 40))))));
  },

  /// The items of each side nearest to (1 - t) x + t y.
  nearest(t, count) {
    const { data } = Path, { width, scales } = data, [i, j] = Path.now;
    const place = Float32Array.from(scales, (scale, k) => ((1 - t) * data.alongX[i * width + k] + t * data.alongY[j * width + k]));
    const weights = Float32Array.from(scales, (scale) => scale * scale);
    return data.sides.map((side) => {
      const best = [];
      for (let item = 0; item < side.count; item++) {
        let far = 0;
        for (let k = 0; k < width; k++) far += weights[k] * (side.along[item * width + k] - place[k]) ** 2;
        if (best.length < count || far < best[best.length - 1][0]) {
          best.push([far, item]);
          best.sort((a, b) => a[0] - b[0]);
          best.length = Math.min(best.length, count);
        }
      }
      return best.map(([, item]) => item);
    });
  },
};
