"use strict";
// All pairs, side by side.

const ROWS = 40;

const Pairs = {
  page: 0, among: null, amongName: "",
  orders(data) {
    const { pairs } = data, of = (values) => (entry) => (entry < pairs ? values[entry] : NaN);
    const margin = (entry) => Pairs.margin(entry), { by } = Pairs;
    return [
      ["doubtful", "the doubtful first", by(margin, 1)], ["certain", "the certain first", by(margin, -1)],
      ["cheap", "the cheapest first", by(of(data.cost), 1)], ["dear", "the dearest first", by(of(data.cost), -1)],
      ["disagree", "farthest beyond the nearest first", by(of(data.beyondNearest), -1)],
      ...(data.confidence ? [["unsure", "least confident first", by(of(data.confidence), 1)]] : []),
      ...Colours.columns().flatMap((way) => Pairs.byColumn(data, way)),
      ["rows", "in the order of x", (a, b) => a - b],
    ];
  },

  /// By how much everything gets dearer without a pair; or with a partner for a single item.
  margin(entry) {
    const { data } = Pairs;
    if (entry < data.pairs) return data.margin[entry];
    const [side, item] = data.singles[entry - data.pairs], slot = item * data.rivals;
    return side.rivals[slot] === NONE ? Infinity : side.rivalsReduced[slot];
  },

  /// Compares entries by a number, rising or falling; those that have none come last.
  by(value, sign) {
    return (a, b) => {
      const [v, w] = [value(a), value(b)], missing = Number.isNaN(v ?? NaN) - Number.isNaN(w ?? NaN);
      return missing || (v === w || missing === 0 && Number.isNaN(v ?? NaN) ? a - b : sign * (v > w ? 1 : -1));
    };
  },

  /// Orders by a column: numbers by size, and pairs first whose items have other classes.
  byColumn(data, way) {
    const [x, y] = data.sides, value = (side, item) => (item === NONE ? NaN : way.value(side, item));
    const own = (entry) => { const [i, j] = data.endsOf(entry); return way.sides[0] && i !== NONE ? value(x, i) : value(y, j); };
    if (way.numbers) return [[`${way.key}-low`, `least ${way.name} first`, Pairs.by(own, 1)], [`${way.key}-high`, `greatest ${way.name} first`, Pairs.by(own, -1)]];
    if (!way.sides[0] || !way.sides[1]) return [];
    const other = (entry) => { const [i, j] = data.endsOf(entry); return i === NONE || j === NONE ? NaN : value(x, i) === value(y, j) ? 1 : 0; };
    return [[`${way.key}-other`, `other ${way.name} than the partner first`, Pairs.by(other, 1)]];
  },

  /// How many pairs and single items there are among entries.
  counted(entries) {
    const pairs = entries.filter((entry) => entry < Pairs.data.pairs).length, singles = entries.length - pairs;
    return [(pairs || !singles) && `${pairs} pairs`, singles && `${singles} single items`].filter(Boolean).join(" and ");
  },

  build(data, section) {
    Pairs.data = data; Pairs.columns = Colours.columns();
    Pairs.filter = element("input", { type: "search", id: "pair-filter", placeholder: Pairs.columns.length ? "words in texts and columns" : "words in either text", on: { input: () => { Pairs.page = 0; Pairs.list(); } } });
    Pairs.order = element("select", { id: "pair-order", on: { change: () => { Pairs.page = 0; Pairs.list(); } } },
      Pairs.orders(data).map(([key, name]) => element("option", { value: key }, name)));
    Pairs.kinds = element("select", { id: "pair-kinds", on: { change: () => { Pairs.page = 0; Pairs.list(); } } },
      [["all", "pairs and single items"], ["pairs", "pairs"], ["singles", "single items"]].map(([key, name]) => element("option", { value: key }, name)));
    Pairs.count = element("span", { id: "pair-count", role: "status" });
    Pairs.clear = element("button", { type: "button", hidden: true, on: { click: () => Pairs.only(null, "") } }, "All pairs");
    const turn = (by) => () => { Pairs.page += by; Pairs.list(); };
    Pairs.before = element("button", { type: "button", on: { click: turn(-1) } }, "Previous");
    Pairs.after = element("button", { type: "button", on: { click: turn(1) } }, "Next");
    Pairs.body = element("tbody");
    const columns = ["x", "y", "cost", "margin", "beyond nearest", ...(data.confidence ? ["confidence"] : []), ...Pairs.columns.map((way) => way.name)];
    section.append(
      element("div", { class: "bar" }, element("label", {}, "Find", Pairs.filter), element("label", {}, "Order", Pairs.order), data.singles.length > 0 && element("label", {}, "Show", Pairs.kinds), Pairs.count, Pairs.clear),
      element("div", { class: "wide" }, element("table", { id: "pair-list" },
        element("thead", {}, element("tr", {}, columns.map((name, at) => element("th", { scope: "col", dir: "auto", class: at < 2 ? "text" : "" }, name)))), Pairs.body)),
      element("div", { class: "bar" }, Pairs.before, Pairs.after),
      element("p", { class: "small" }, "Margin: by how much at least the whole pairing gets dearer without the pair, or with a partner for a single item. Beyond nearest: by how much the partner is dearer than the nearest item of the other side."));
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
    let found = Pairs.among ?? [...Array(data.pairs + data.singles.length).keys()];
    if (Pairs.kinds.value !== "all") found = found.filter((entry) => entry < data.pairs === (Pairs.kinds.value === "pairs"));
    if (words.length) {
      data.lower ??= data.sides.map((side) => side.texts.map((text) => (text ?? "").toLowerCase()));
      found = found.filter((entry) => {
        const ends = data.endsOf(entry).map((item, at) => [data.sides[at], item]).filter(([, item]) => item !== NONE);
        const values = ends.flatMap(([side, item]) => [data.lower[side.at][item], ...Pairs.columns.map((way) => way.text(side, item)?.toLowerCase())]);
        const text = values.join("\n");
        return words.every((word) => text.includes(word));
      });
    }
    return [...found].sort(Pairs.orders(data).find(([key]) => key === Pairs.order.value)[2]);
  },

  list() {
    const { data } = Pairs, found = Pairs.found(), pages = Math.max(Math.ceil(found.length / ROWS), 1);
    Pairs.page = Math.min(Math.max(Pairs.page, 0), pages - 1);
    Pairs.shown = found;
    Pairs.count.textContent = `${Pairs.counted(found)}${Pairs.amongName ? ` of ${Pairs.amongName}` : ""}, page ${Pairs.page + 1} of ${pages}`;
    Pairs.before.disabled = Pairs.page === 0;
    Pairs.after.disabled = Pairs.page === pages - 1;
    Pairs.body.replaceChildren(...found.slice(Pairs.page * ROWS, (Pairs.page + 1) * ROWS).map((entry) => {
      const ends = data.endsOf(entry), isPair = entry < data.pairs;
      const cells = [isPair ? data.cost[entry] : NaN, Pairs.margin(entry), isPair ? data.beyondNearest[entry] : NaN, ...(data.confidence ? [isPair ? data.confidence[entry] : NaN] : [])];
      const end = (item, at) => (item === NONE ? element("span", { class: "small" }, "single") : Items.link(data.sides[at], item, 48, entry));
      return element("tr", {}, ends.map((item, at) => element("td", { class: "text" }, end(item, at))), cells.map((value) => element("td", {}, shown(value))),
        Pairs.columns.map((way) => element("td", { class: "value" }, ends.map((item, at) => item !== NONE && Colours.value(way, data.sides[at], item)).filter(Boolean))));
    }));
  },
};
