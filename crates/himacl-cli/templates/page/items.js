"use strict";
// Elements, and how an item is shown. Texts become text nodes, never markup.

const element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") for (const [event, action] of Object.entries(value)) made.addEventListener(event, action);
    else if (name === "css") Object.assign(made.style, value);
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return made;
};

const shown = (value, digits = 4) => {
  if (value === undefined || Number.isNaN(value)) return "";
  if (value === Infinity) return "known";
  return Math.abs(value) >= 1e4 || (value !== 0 && Math.abs(value) < 1e-3) ? value.toExponential(2) : value.toPrecision(digits);
};

const Items = {
  sheets: [],
  /// Takes the thumbnails' sheets from the page.
  load() {
    Items.sheets = [...document.querySelectorAll("script.sheet")].map((sheet) =>
      URL.createObjectURL(new Blob([bytesOf(sheet.textContent)], { type: "image/jpeg" })));
  },
  /// A short name.
  name(side, item, most = 90) {
    const text = side.texts[item];
    if (!text) return `${side.side === "X" ? "x" : "y"} row ${side.rows[item]}`;
    const first = [...text.slice(0, 2 * most)];
    return first.length > most ? first.slice(0, most).join("") + " …" : text;
  },
  has(side, item) { return side.picture.length > 0 && side.picture[item] !== NONE; },
  thumb(side, item, size) {
    if (!Items.has(side, item)) return null;
    const { first, perSide, placed, size: own } = side.pictures, place = side.picture[item];
    const sheet = Math.floor(place / perSide ** 2), at = place % perSide ** 2, zoom = (size ?? own) / own;
    const columns = Math.min(perSide, placed - sheet * perSide ** 2);
    return element("span", {
      class: "thumb", role: "img", "aria-label": `picture of ${Items.name(side, item, 40)}`,
      css: {
        width: `${own * zoom}px`, height: `${own * zoom}px`, backgroundImage: `url(${Items.sheets[first + sheet]})`,
        backgroundSize: `${columns * own * zoom}px auto`,
        backgroundPosition: `${-(at % perSide) * own * zoom}px ${-Math.floor(at / perSide) * own * zoom}px`,
      },
    });
  },
  /// Thumbnail and text in a line.
  item(side, item, size = 48) {
    return element("span", { class: `item ${side.side.toLowerCase()}` }, element("span", { class: "dot", "aria-hidden": "true" }),
      Items.thumb(side, item, size), element("span", { class: "words", dir: "auto" }, Items.name(side, item)));
  },
  /// The same as a button that shows an entry, by default the item's first.
  link(side, item, size = 48, entry) {
    return element("button", { class: "link", type: "button", on: { click: () => (entry === undefined ? App.show(side, item) : App.open(entry)) } }, Items.item(side, item, size));
  },
};
