"use strict";
// The run's curves, and the pairing in words.

const LINES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#785ef0"];

const Report = {
  curves(all, box) {
    if (!all.length) return;
    box.append(element("h2", {}, "Training"));
    const ink = getComputedStyle(document.documentElement).getPropertyValue("--soft"), grid = getComputedStyle(document.documentElement).getPropertyValue("--line");
    for (const { figure, lines, baselines } of all) {
      const steps = [...new Set(lines.flatMap(([, points]) => points.map(([step]) => step)))].sort((a, b) => a - b);
      if (steps.length < 2) continue;
      const values = lines.map(([, points]) => { const by = new Map(points); return steps.map((step) => by.get(step) ?? null); });
      const straight = baselines.map(([, value]) => steps.map(() => value));
      const title = figure.replaceAll("_", " "), names = [...lines.map(([name]) => name || "this run"), ...baselines.map(([name]) => name)];
      const series = names.map((name, at) => ({
        label: name, stroke: LINES[at % LINES.length], width: 2, spanGaps: true,
        ...(at >= lines.length ? { dash: [6, 4] } : {}),
      }));
      const axis = (label) => ({ label, stroke: ink, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 } });
      const place = element("div", { "aria-hidden": "true" });
      const spoken = `${title} over the steps, from ${shown(values[0].find((v) => v !== null))} to ${shown(values[0].findLast((v) => v !== null))}`;
      box.append(element("figure", { class: "chart" }, element("figcaption", {}, title), place, element("p", { class: "small" }, spoken), Report.table(title, steps, names, [...values, ...straight])));
      new uPlot({ width: 640, height: 240, scales: { x: { time: false } }, axes: [axis("steps"), { ...axis(title), size: 64 }], series: [{ label: "step" }, ...series] },
        [steps, ...values, ...straight], place);
    }
  },

  /// The same numbers for those who do not see the chart.
  table(title, steps, names, columns) {
    const details = element("details", {}, element("summary", {}, `${title} as a table`));
    details.addEventListener("toggle", () => {
      if (details.children.length > 1) return;
      details.append(element("div", { class: "wide" }, element("table", {}, element("thead", {}, element("tr", {}, ["step", ...names].map((name) => element("th", { scope: "col" }, name)))),
        element("tbody", {}, steps.map((step, at) => element("tr", {}, element("th", { scope: "row" }, step), columns.map((column) => element("td", {}, column[at] === null ? "" : shown(column[at])))))))));
    });
    return details;
  },

  scene(data, box) {
    const pairs = [...Array(data.pairs).keys()];
    const same = pairs.filter((pair) => data.nearestX[data.pairX[pair]] === data.pairY[pair]).length, doubtful = pairs.filter((pair) => data.margin[pair] <= 0).length;
    const gap = (data.meanCost - data.bound) / Math.abs(data.meanCost);
    const say = (text) => box.append(element("p", { class: "lead" }, text));
    if (data.allPairs > data.pairs) say(`The other views show a random sample of ${data.pairs} of ${data.allPairs} pairs.`);
    say(`Among the ${data.pairs} pairs shown, the mean ${data.costKind} cost is ${shown(data.meanCost, 6)}; no other choice of as many costs less than ${shown(data.bound, 6)}`
      + ` in the mean, so this one is at most ${(100 * Math.max(gap, 0)).toFixed(gap < 1e-4 ? 4 : 2)}% above the cheapest.`);
    for (const side of data.sides) {
      const counts = [...Array(side.count).keys()].map((item) => side.pairs(item).length), name = side.side.toLowerCase();
      const several = counts.filter((count) => count > 1).length, single = counts.filter((count) => !count).length;
      if (several) say(`${several} of ${side.count} ${name} have several partners, at most ${counts.reduce((most, count) => Math.max(most, count), 0)}.`);
      if (single) say(`${single} of ${side.count} ${name} are single.`);
    }
    say(`${(100 * same / pairs.length).toFixed(1)}% of the partners are also the nearest y of their x.`
      + (doubtful ? ` For ${doubtful} pairs the prices show no loss if they were given up: the list of pairs begins with those.` : ""));
  },
};
