"use strict";
// All pairs, side by side.

const ROWS = 40;

const Pairs = {
  page: 0, among: null, amongName: "",
  orders(data) {
    const by = (values, sign) => (a, b) => sign * (values[a] - values[b]);
    return [
      ["doubtful", "the doubtful first", by(data.margin, 1)], ["certain", "the certain first", by(data.margin, -1)],
      ["cheap", "the cheapest first", by(data.cost, 1)], ["dear", "the dearest first", by(data.cost, -1)],
      ["disagree", "farthest beyond the nearest first", by(data.beyondNearest, -1)],
      ...(data.confidence ? [["unsure", "least confident first", by(data.confidence, 1)]] : []),
      ...Colours.columns().flatMap((way) => Pairs.byColumn(data, way)),
      ["rows", "in the order of x", (a, b) => a - b],
    ];
  },

  /// Orders by a column: numbers by size, and pairs first whose items have other classes.
  byColumn(data, way) {
    const [x, y] = data.sides, side = way.sides[0] ? x : y, item = (i) => (way.sides[0] ? i : data.partner[i]);
    const last = (value, order) => (Number.isNaN(value) ? Infinity : order * value);
    const by = (order) => (a, b) => { const of = (i) => last(way.value(side, item(i)), order), [v, w] = [of(a), of(b)]; return v === w ? a - b : v - w; };
    if (way.numbers) return [[`${way.key}-low`, `least ${way.name} first`, by(1)], [`${way.key}-high`, `greatest ${way.name} first`, by(-1)]];
    if (!way.sides[0] || !way.sides[1]) return [];
    const same = (i) => (way.value(x, i) === way.value(y, data.partner[i]) ? 1 : 0);
    return [[`${way.key}-other`, `other ${way.name} than the partner first`, (a, b) => same(a) - same(b) || a - b]];
  },

  build(data, section) {
    Pairs.data = data; Pairs.columns = Colours.columns();
    Pairs.filter = element("input", { type: "search", id: "pair-filter", placeholder: Pairs.columns.length ? "words in texts and columns" : "words in either text", on: { input: () => { Pairs.page = 0; Pairs.list(); } } });
    Pairs.order = element("select", { id: "pair-order", on: { change: () => { Pairs.page = 0; Pairs.list(); } } },
      Pairs.orders(data).map(([key, name]) => element("option", { value: key }, name)));
    Pairs.count = element("span", { id: "pair-count", role: "status" });
    Pairs.clear = element("button", { type: "button", hidden: true, on: { click: () => Pairs.only(null, "") } }, "All pairs");
    const turn = (by) => () => { Pairs.page += by; Pairs.list(); };
    Pairs.before = element("button", { type: "button", on: { click: turn(-1) } }, "Previous");
    Pairs.after = element("button", { type: "button", on: { click: turn(1) } }, "Next");
    Pairs.body = element("tbody");
    const columns = ["x", "y", "cost", "margin", "beyond nearest", ...(data.confidence ? ["confidence"] : []), ...Pairs.columns.map((way) => way.name)];
    section.append(
      element("div", { class: "bar" }, element("label", {}, "Find", Pairs.filter), element("label", {}, "Order", Pairs.order), Pairs.count, Pairs.clear),
      element("div", { class: "wide" }, element("table", { id: "pair-list" },
        element("thead", {}, element("tr", {}, columns.map((name, at) => element("th", { scope: "col", dir: "auto", class: at < 2 ? "text" : "" }, name)))), Pairs.body)),
      element("div", { class: "bar" }, Pairs.before, Pairs.after),
      element("p", { class: "small" }, "Margin: by how much at least the whole pairing gets dearer without the pair. Beyond nearest: by how much the partner is dearer than the nearest item of the other side."));
    Pairs.list();
  },

  /// Restricts the list to some pairs, and shows it.
  only(among, name) {
    Pairs.among = among; Pairs.amongName = name; Pairs.page = 0;
    Pairs.clear.hidden = !among;
    Pairs.list();
    App.view("pairs");
  },

  found() {
    const { data } = Pairs, words = Pairs.filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = Pairs.among ?? [...data.partner.keys()].filter((i) => data.partner[i] !== NONE);
    if (words.length) {
      data.lower ??= data.sides.map((side) => side.texts.map((text) => (text ?? "").toLowerCase()));
      found = found.filter((i) => {
        const values = Pairs.columns.flatMap((way) => [way.text(data.sides[0], i), way.text(data.sides[1], data.partner[i])]);
        const text = [data.lower[0][i], data.lower[1][data.partner[i]], ...values.map((value) => value?.toLowerCase())].join("\n");
        return words.every((word) => text.includes(word));
      });
    }
    return [...found].sort(Pairs.orders(data).find(([key]) => key === Pairs.order.value)[2]);
  },

  list() {
    const { data } = Pairs, found = Pairs.found(), pages = Math.max(Math.ceil(found.length / ROWS), 1);
    Pairs.page = Math.min(Math.max(Pairs.page, 0), pages - 1);
    Pairs.shown = found;
    Pairs.count.textContent = `${found.length} pairs${Pairs.amongName ? ` of ${Pairs.amongName}` : ""}, page ${Pairs.page + 1} of ${pages}`;
    Pairs.before.disabled = Pairs.page === 0;
    Pairs.after.disabled = Pairs.page === pages - 1;
    Pairs.body.replaceChildren(...found.slice(Pairs.page * ROWS, (Pairs.page + 1) * ROWS).map((i) => {
      const cells = [data.cost[i], data.margin[i], data.beyondNearest[i], ...(data.confidence ? [data.confidence[i]] : [])];
      return element("tr", {}, element("td", { class: "text" }, Items.link(data.sides[0], i)),
        element("td", { class: "text" }, Items.link(data.sides[1], data.partner[i])), cells.map((value) => element("td", {}, shown(value))),
        Pairs.columns.map((way) => element("td", { class: "value" }, Colours.value(way, data.sides[0], i), Colours.value(way, data.sides[1], data.partner[i]))));
    }));
  },
};
