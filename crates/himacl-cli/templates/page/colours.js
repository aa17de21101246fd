"use strict";
// What items are coloured by, and the keys that say which colour is what.

// Viridis at five places.
const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
// Chosen by a search so that any two of these, those of all others and of missing values included, are at least 22 apart in
// CIELAB, also for protanopes, deuteranopes and tritanopes (the matrices of Machado et al. 2009), and have a contrast of 2 with a
// light and with a dark page.
const KINDS = [[0, 187, 255], [204, 68, 0], [102, 17, 170], [221, 170, 102], [0, 102, 136], [255, 136, 0], [255, 51, 204], [34, 0, 255], [119, 51, 68],
  [187, 68, 255], [136, 34, 17]];
const OTHERS = [153, 119, 85], MISSING = [140, 140, 140];

const onRamp = (share) => {
  const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1), low = Math.min(Math.floor(at), RAMP.length - 2), rest = at - low;
  return RAMP[low].map((value, k) => Math.round(value + rest * (RAMP[low + 1][k] - value)));
};

const Colours = {
  /// All ways to colour an item: a name, its colour, and the key. Columns of the metadata come first: they were asked for.
  ways(data) {
    Colours.data = data;
    const ofPair = (key, name, values) => {
      const scale = Colours.scale([values]);
      return { key, name, of: Colours.pairwise((pair) => scale.of(values[pair])), legend: () => scale.legend() };
    };
    const group = {
      key: "group", name: "group of the tree",
      of: Colours.pairwise((pair) => (data.group[pair] === NO_GROUP ? MISSING : KINDS[data.group[pair] % KINDS.length])),
      legend: () => data.groups.map((node, k) => Colours.swatch(KINDS[k % KINDS.length], node.words.slice(0, 3).map((word) => word.word).join(", ") || `group ${k + 1}`)),
    };
    Colours.all ??= [
      ...data.columns.map((column, at) => Colours.column(column, at)),
      ofPair("margin", "how sure (margin)", data.margin), ...(data.confidence ? [ofPair("confidence", "the run's confidence", data.confidence)] : []),
      ofPair("cost", "cost", data.cost), ofPair("beyondNearest", "dearer than the nearest", data.beyondNearest), group,
    ];
    return Colours.all;
  },

  /// A colour of pairs as one of their items: of several pairs that of the most doubtful.
  pairwise(colour) {
    return (side, item, pair) => {
      const [first, ...others] = pair === undefined ? side.pairs(item) : [pair];
      return first === undefined ? MISSING : colour(others.reduce((worst, other) => (Colours.data.margin[other] < Colours.data.margin[worst] ? other : worst), first));
    };
  },

  /// Colours of numbers by their rank: a few far ones would leave the rest in one colour.
  scale(all) {
    const finite = Float32Array.from(all.flatMap((values) => [...values.filter(Number.isFinite)])).sort();
    const rank = (value) => {
      let low = 0, high = finite.length;
      while (low < high) { const middle = (low + high) >> 1; if (finite[middle] < value) low = middle + 1; else high = middle; }
      return finite.length > 1 ? low / (finite.length - 1) : 0.5;
    };
    return {
      of: (value) => (Number.isNaN(value) ? MISSING : value === Infinity ? RAMP[RAMP.length - 1] : onRamp(rank(value))),
      legend: () => {
        if (!finite.length) return [element("span", {}, "no values")];
        const steps = [...Array(11).keys()].map((k) => `rgb(${onRamp(k / 10)})`).join(",");
        const marks = [0, 0.25, 0.5, 0.75, 1].map((share) => number(finite[Math.round(share * (finite.length - 1))]));
        return [element("span", { class: "scale" }, element("span", { class: "ramp", css: { background: `linear-gradient(90deg,${steps})` } }),
          element("span", { class: "marks" }, marks.map((mark) => element("span", {}, mark)))), element("span", { class: "small" }, "by rank: a quarter of the values between two marks")];
      },
    };
  },

  /// A column of the metadata.
  column(column, at) {
    const sides = ["X", "Y"].map((side) => Colours.data[`column${at}${side}`]), there = sides.filter(Boolean);
    const { classes, coloured } = column, isMissing = (value) => (classes ? value === NONE : Number.isNaN(value));
    const missing = there.reduce((count, values) => count + values.reduce((sum, value) => sum + isMissing(value), 0), 0);
    const scale = classes ? null : Colours.scale(there);
    const ofClass = (code) => (code === NONE ? MISSING : KINDS[code] && code < coloured ? KINDS[code] : OTHERS);
    return {
      key: `column${at}`, name: column.name, column: true, sides,
      text: (side, item) => { const values = sides[side.at]; return !values ? undefined : isMissing(values[item]) ? null : classes ? classes[values[item]] : number(values[item]); },
      value: (side, item) => sides[side.at]?.[item],
      numbers: !classes,
      of: (side, item) => { const values = sides[side.at]; return !values ? MISSING : classes ? ofClass(values[item]) : scale.of(values[item]); },
      legend: () => [
        ...(classes ? classes.slice(0, coloured).map((name, code) => Colours.swatch(KINDS[code], name)) : scale.legend()),
        classes?.length > coloured && Colours.swatch(OTHERS, `${classes.length - coloured} other values`),
        missing > 0 && Colours.swatch(MISSING, `missing (${missing})`),
        ...["x", "y"].map((name, side) => !sides[side] && Colours.swatch(MISSING, `all ${name}: they have no such column`)),
      ].filter(Boolean),
    };
  },

  swatch(colour, name) {
    return element("span", { class: "key" }, element("span", { class: "swatch", "aria-hidden": "true", css: { background: `rgb(${colour})` } }), element("span", { dir: "auto" }, name));
  },

  /// What the metadata say of an item, with the colours.
  columns() { return Colours.ways(App.data).filter((way) => way.column); },

  /// A value of an item with its colour; nothing where its side has no such column.
  value(way, side, item) {
    const text = way.text(side, item);
    return text === undefined ? null : Colours.swatch(way.of(side, item), text ?? "missing");
  },
};

/// A number of the metadata: whole ones in full.
const number = (value) => (Number.isInteger(value) && Math.abs(value) < 1e9 ? String(value) : shown(value));
