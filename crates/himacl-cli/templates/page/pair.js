"use strict";
// One pair: what else might have been, and why it was not.

const Pair = {
  build(data, section) { Pair.data = data; Pair.section = section; },

  show(side, item) {
    const { data } = Pair, partner = side.partner[item];
    const [i, j] = side.at === 0 ? [item, partner] : [partner, item];
    Pair.now = { i, j };
    const step = (by) => () => {
      const list = Pairs.shown ?? [], at = list.indexOf(i), next = list[(at + by + list.length) % list.length];
      if (next !== undefined) App.show(data.sides[0], next);
    };
    Pair.section.replaceChildren(
      element("div", { class: "bar" }, element("button", { type: "button", on: { click: step(-1) } }, "Previous of the list"),
        element("button", { type: "button", on: { click: step(1) } }, "Next of the list"),
        i !== NONE && j !== NONE && element("button", { type: "button", on: { click: () => App.view("path") } }, "What lies between")),
      element("div", { class: "two" }, Pair.card(data.sides[0], i), Pair.card(data.sides[1], j)));
    if (i !== NONE && j !== NONE) {
      Pair.section.append(Pair.facts(i, j), Pair.why(i, j), Pair.removals(i));
    }
    Pair.section.append(element("div", { class: "two" }, i !== NONE && Pair.rivals(data.sides[0], i), j !== NONE && Pair.rivals(data.sides[1], j)));
  },

  card(side, item) {
    const name = side.side.toLowerCase();
    if (item === NONE) return element("div", { class: "card" }, `No ${name} item is paired with this one.`);
    return element("div", { class: `card ${name}` }, element("h2", {}, `${name} row ${side.rows[item]}`), Items.thumb(side, item, 128),
      element("div", { class: "words", dir: "auto" }, side.texts[item] ?? ""), Pair.columns(side, item));
  },

  /// What the metadata say of an item.
  columns(side, item) {
    const rows = Colours.columns().map((way) => [way.name, Colours.value(way, side, item)]).filter(([, value]) => value);
    return rows.length > 0 && element("table", { class: "columns" }, element("tbody", {}, rows.map(([name, value]) => element("tr", {}, element("th", { scope: "row", dir: "auto" }, name), element("td", { class: "text" }, value)))));
  },

  facts(i, j) {
    const { data } = Pair, other = data.sides[1], nearest = data.nearestX[i];
    const rows = [
      ["cost", shown(data.cost[i])],
      ["margin: without this pair all pairs together cost at least so much more", shown(data.margin[i])],
      ["reduced cost: 0 in an optimal pairing", shown(data.reduced[i])],
      ...(data.confidence ? [["the run's confidence", shown(data.confidence[i])]] : []),
    ];
    const who = data.partnerOfY[nearest];
    const sentence = nearest === j ? "The partner is also the nearest y of this x." : `Nearer to this x is ${Items.name(other, nearest)} (cost ${shown(data.nearestCostX[i])})`
      + (who === NONE ? ", which has no partner." : `, which belongs to ${Items.name(data.sides[0], who)}.`);
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

  removals(i) {
    const { data } = Pair, [x, y] = data.sides, sentences = [];
    for (let at = data.removalStart[i]; at < data.removalStart[i + 1]; at++) {
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
    return element("div", {}, element("h2", {}, `What else this ${name} might have had`), element("table", {},
      element("thead", {}, element("tr", {}, element("th", { scope: "col", class: "text" }, other.side.toLowerCase()), element("th", { scope: "col" }, "cost"), element("th", { scope: "col" }, "dearer by at least"))),
      element("tbody", {}, rows)));
  },
};
