"use strict";
// The views, and what is shown in them.

const VIEWS = [["report", "Report"], ["map", "Map"], ["pairs", "Pairs"], ["pair", "One pair"], ["path", "Path"], ["tree", "Tree"], ["search", "Search"]];

const App = {
  built: {},

  async start() {
    Report.curves(JSON.parse(document.getElementById("curve-data").textContent), document.getElementById("curves"));
    const packed = document.getElementById("data");
    const served = "served" in document.body.dataset;
    App.views = VIEWS.filter(([key]) => key === "report" || (key === "search" ? served : packed));
    App.tabs(App.views);
    if (served) Search.build(App.section("search"));
    if (packed) {
      App.data = prepare(await unpack(packed.textContent));
      Items.load();
      Pairs.build(App.data, App.section("pairs"));
      Pair.build(App.data, App.section("pair"));
      Path.build(App.data, App.section("path"));
      Report.scene(App.data, document.getElementById("scene-words"));
      const first = Pairs.shown[0];
      if (first !== undefined) Pair.show(first);
    }
    window.addEventListener("hashchange", () => App.follow());
    App.follow();
    document.documentElement.dataset.ready = "";
  },

  section(name) { return document.getElementById(`view-${name}`); },

  tabs(views) {
    const list = document.getElementById("tabs");
    list.hidden = views.length < 2;
    list.append(...views.map(([key, name]) => element("button", { type: "button", role: "tab", id: `tab-${key}`, "aria-controls": `view-${key}`, on: { click: () => App.view(key) } }, name)));
    views.forEach(([key]) => {
      App.section(key).setAttribute("role", "tabpanel");
      App.section(key).setAttribute("aria-labelledby", `tab-${key}`);
    });
    list.addEventListener("keydown", (event) => {
      const tabs = [...list.children], at = tabs.indexOf(document.activeElement);
      const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      const tab = tabs[(next + tabs.length) % tabs.length];
      tab.focus();
      tab.click();
    });
  },

  /// Shows a view; those that take time are made when they are first wanted.
  view(name) {
    if (App.data && !App.built[name]) {
      App.built[name] = true;
      App.section(name).hidden = false;
      if (name === "map") Map2.build(App.data, App.section("map"));
      if (name === "tree") Tree.build(App.data, App.section("tree"));
    }
    for (const [key] of App.views) {
      App.section(key).hidden = key !== name;
      const tab = document.getElementById(`tab-${key}`);
      tab?.setAttribute("aria-selected", String(key === name));
      tab?.setAttribute("tabindex", key === name ? "0" : "-1");
    }
    if (name === "path" && Pair.now) Path.show(Pair.now.i, Pair.now.j);
    App.current = name;
    App.remember();
  },

  /// Shows the first pair of an item, or the item where it is single.
  show(side, item) { App.open(App.data.entryOf(side, item)); },

  /// Shows a pair or a single item.
  open(entry) {
    Pair.show(entry);
    const at = Pair.now.i === NONE ? 1 : 0, name = Items.name(App.data.sides[at], [Pair.now.i, Pair.now.j][at]);
    document.getElementById("now").textContent = entry < App.data.pairs ? `Pair of ${name}` : `Single: ${name}`;
    App.view("pair");
    window.scrollTo(0, 0);
  },

  remember() {
    const named = () => {
      const { i, j, entry } = Pair.now, item = i !== NONE ? `x${i}` : `y${j}`;
      return App.data.entryOf(App.data.sides[i !== NONE ? 0 : 1], i !== NONE ? i : j) === entry ? item : `p${entry}`;
    };
    const pair = ["pair", "path"].includes(App.current) && Pair.now ? `/${named()}` : "";
    history.replaceState(null, "", `#${App.current}${pair}`);
  },

  /// Goes where the address says.
  follow() {
    const [name, item] = location.hash.slice(1).split("/"), known = App.views.some(([key]) => key === name);
    const side = App.data?.sides[item?.[0] === "y" ? 1 : 0], at = Number(item?.slice(1)), isPair = item?.[0] === "p";
    if (known && item && Number.isInteger(at) && at >= 0 && at < (isPair ? App.data.pairs : side.count)) Pair.show(isPair ? at : App.data.entryOf(side, at));
    App.view(known ? name : "report");
  },
};

App.start();
