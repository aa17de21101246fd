"use strict";
// One pair: what else might have been, and why it was not.

const Pair = {
  build(data, section) { Pair.data = data; Pair.section = section; },

  show(entry) {
    const { data } = Pair, [x, y] = data.sides, [i, j] = data.endsOf(entry), isPair = entry < data.pairs;
    Pair.now = { i, j, entry };
    const step = (by) => () => {
      const list = Pairs.shown ?? [], next = list[(list.indexOf(entry) + by + list.length) % list.length];
      if (next !== undefined) App.open(next);
    };
    Pair.section.replaceChildren(
      element("div", { class: "bar" }, element("button", { type: "button", on: { click: step(-1) } }, "Previous of the list"),
        element("button", { type: "button", on: { click: step(1) } }, "Next of the list"),
        isPair && element("button", { type: "button", on: { click: () => App.view("path") } }, "What lies between")),
      ...(isPair ? [Pair.partners(x, i, entry), Pair.partners(y, j, entry)] : []).filter(Boolean),
      element("div", { class: "two" }, Pair.card(x, i), Pair.card(y, j)));
    if (isPair) Pair.section.append(Pair.facts(entry), Pair.why(i, j), Pair.removals(entry));
    else Pair.section.append(Pair.single(...data.singles[entry - data.pairs]));
    Pair.section.append(element("div", { class: "two" }, i !== NONE && Pair.rivals(x, i), j !== NONE && Pair.rivals(y, j)));
  },

  /// All partners of an item that has several.
  partners(side, item, entry) {
    const { data } = Pair, pairs = [...side.pairs(item)], other = data.sides[1 - side.at];
    if (pairs.length < 2) return null;
    const name = `${pairs.length} partners of ${side.side.toLowerCase()} row ${side.rows[item]}`;
    return element("nav", { class: "partners", "aria-label": name }, element("span", {}, name), pairs.map((pair) => {
      const link = Items.link(other, data.ends[other.at][pair], 32, pair);
      if (pair === entry) link.setAttribute("aria-current", "true");
      return link;
    }));
  },

  /// What is said of an item without a partner.
  single(side, item) {
    const { data } = Pair, other = data.sides[1 - side.at], nearest = side.nearest[item];
    const dearer = side.rivals[item * data.rivals] === NONE ? Infinity : side.rivalsReduced[item * data.rivals];
    return element("div", {}, element("table", {}, element("tbody", {}, element("tr", {}, element("th", { scope: "row" }, "margin: with a partner for it all pairs together cost at least so much more"),
      element("td", {}, dearer === Infinity ? "none may be its partner" : shown(dearer))))),
      element("p", { dir: "auto" }, `Nearest to it is ${Items.name(other, nearest)} (cost ${shown(side.nearestCost[item])})${Pair.holders(other, nearest)}`));
  },

  /// Whom an item belongs to, as the end of a sentence.
  holders(side, item) {
    const { data } = Pair, other = data.sides[1 - side.at], pairs = side.pairs(item);
    if (!pairs.length) return ", which has no partner.";
    return `, which belongs to ${Items.name(other, data.ends[other.at][pairs[0]])}${pairs.length > 1 ? ` and ${pairs.length - 1} more` : ""}.`;
  },

  card(side, item) {
    const name = side.side.toLowerCase();
    if (item === NONE) return element("div", { class: "card" }, `No ${name} item is paired with this one: it is single.`);
    return element("div", { class: `card ${name}` }, element("h2", {}, `${name} row ${side.rows[item]}`), Items.thumb(side, item, 128),
      element("div", { class: "words", dir: "auto" }, side.texts[item] ?? ""), Pair.columns(side, item));
  },

  /// What the metadata say of an item.
  columns(side, item) {
    const rows = Colours.columns().map((way) => [way.name, Colours.value(way, side, item)]).filter(([, value]) => value);
    return rows.length > 0 && element("table", { class: "columns" }, element("tbody", {}, rows.map(([name, value]) => element("tr", {}, element("th", { scope: "row", dir: "auto" }, name), element("td", { class: "text" }, value)))));
  },

  facts(pair) {
    const { data } = Pair, [i, j] = data.endsOf(pair), other = data.sides[1], nearest = data.nearestX[i];
    const rows = [
      ["cost", shown(data.cost[pair])],
      ["margin: without this pair all pairs together cost at least so much more", shown(data.margin[pair])],
      ["reduced cost: 0 in an optimal pairing", shown(data.reduced[pair])],
      ...(data.confidence ? [["the run's confidence", shown(data.confidence[pair])]] : []),
    ];
    const isPartner = [...data.sides[0].pairs(i)].some((own) => data.pairY[own] === nearest);
    const sentence = isPartner ? `The nearest y of this x is ${nearest === j ? "this partner" : "another of its partners"}.`
      : `Nearer to this x is ${Items.name(other, nearest)} (cost ${shown(data.nearestCostX[i])})${Pair.holders(other, nearest)}`;
    return element("div", {}, element("table", {}, element("tbody", {}, rows.map(([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, value))))),
      element("p", { dir: "auto" }, sentence));
  },

  /// Contributions of the directions to the score of a pair.
  contributions(i, j) {
    const { data } = Pair, { width, scales } = data;
    return [...scales.keys()].map((k) => data.alongX[i * width + k] * data.alongY[j * width + k] * scales[k] ** 2);
  },

  why(i, j) {
    const { data } = Pair, parts = Pair.contributions(i, j), order = [...parts.keys()].sort((a, b) => parts[b] - parts[a]);
    const total = parts.reduce((sum, part) => sum + Math.max(part, 0), 0) || 1;
    const end = (direction, positive) => {
      const words = positive ? direction.positive_words : direction.negative_words, items = positive ? direction.positive_items : direction.negative_items;
      return [element("span", { dir: "auto" }, words.map((word) => word.word).join(", ") || "no words stand out"),
        element("div", { class: "thumbs" }, items.flatMap((list, at) => list.slice(0, 4).map((item) => {
          const side = data.sides[at], inner = Items.thumb(side, item, 36) ?? element("span", { class: "small", dir: "auto" }, Items.name(side, item, 28));
          return element("button", { class: "link", type: "button", title: Items.name(side, item), on: { click: () => App.show(side, item) } }, inner);
        })))];
    };
    const carriers = order.slice(0, 4).filter((k) => parts[k] > 0).map((k) => {
      const positive = data.alongX[i * data.width + k] >= 0, direction = data.directions[k];
      return element("div", { class: "card" },
        element("div", {}, element("span", { class: "share", css: { width: `${8 * parts[k] / total}em` } }), ` ${(100 * parts[k] / total).toFixed(0)}% of what speaks for the pair`),
        element("div", { class: "ends" }, element("div", {}, element("div", { class: "here" }, "both lie towards"), end(direction, positive)),
          element("div", {}, element("div", { class: "small" }, "away from"), end(direction, !positive))));
    });
    return element("div", {}, element("h2", {}, "Why: the directions that carry the match"),
      carriers.length ? element("div", { class: "two" }, carriers) : element("p", {}, "No direction speaks for this pair: it is what was left."));
  },

  removals(pair) {
    const { data } = Pair, [x, y] = data.sides, sentences = [];
    for (let at = data.removalStart[pair]; at < data.removalStart[pair + 1]; at++) {
      const others = data.removalOthers[at];
      sentences.push(element("li", {}, "Without ", Items.link(x, data.removed[at], 28), " it would have ", Items.link(y, data.removalPartner[at], 28),
        others ? `, and ${others} other${others > 1 ? "s" : ""} would change too.` : "."));
    }
    return element("div", {}, element("h2", {}, "What would change it"),
      sentences.length ? element("ul", {}, sentences) : element("p", {}, "No removal of a single x item that was tried gives this x another partner."),
      element("p", { class: "small" }, `The ${data.around} pairs around it, paired again without one; all others held.`));
  },

  rivals(side, item) {
    const { data } = Pair, other = data.sides[1 - side.at], name = side.side.toLowerCase(), rows = [];
    for (let slot = item * data.rivals; slot < (item + 1) * data.rivals; slot++) {
      if (side.rivals[slot] === NONE) continue;
      rows.push(element("tr", {}, element("td", { class: "text" }, Items.link(other, side.rivals[slot], 36)), element("td", {}, shown(side.rivalsCost[slot])),
        element("td", {}, shown(side.rivalsReduced[slot]))));
    }
    return element("div", {}, element("h2", {}, `What ${side.pairs(item).length ? "else " : ""}this ${name} might have had`), element("table", {},
      element("thead", {}, element("tr", {}, element("th", { scope: "col", class: "text" }, other.side.toLowerCase()), element("th", { scope: "col" }, "cost"), element("th", { scope: "col" }, "dearer by at least"))),
      element("tbody", {}, rows)));
  },
};
