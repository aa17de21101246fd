"use strict";
// Groups of pairs within groups of pairs.

const Tree = {
  build(data, section) {
    Tree.data = data;
    Tree.children = data.tree.map(() => []);
    data.tree.forEach((node, at) => { if (node.parent !== null) Tree.children[node.parent].push(at); });
    section.append(element("p", {}, "The pairs, divided again and again: each group has as many items of one side as of the other. Words set a group apart from its siblings."), Tree.node(0, true));
  },

  node(at, open) {
    const node = Tree.data.tree[at], words = node.words.slice(0, 6).map((word) => word.word).join(", ");
    const title = element("summary", {}, element("span", { dir: "auto" }, words || (at === 0 ? "all pairs" : "no words stand out")),
      element("span", { class: "small" }, ` ${node.size} pairs, mean cost ${shown(node.mean_cost)}`));
    const details = element("details", { class: "node", open }, title);
    const fill = () => {
      if (details.children.length > 1) return;
      const typical = node.typical.slice(0, 8).map((pair) => element("div", { class: "line" }, Tree.data.endsOf(pair).map((item, at) => Items.link(Tree.data.sides[at], item, 40, pair))));
      details.append(element("div", {}, typical),
        element("div", {}, element("button", { type: "button", on: { click: () => {
          const members = [...Tree.data.treeOrder.subarray(node.start, node.start + node.size)];
          Pairs.only(members, `the group ${words || "without words"}`);
        } } }, "List these pairs")), ...Tree.children[at].map((child) => Tree.node(child, false)));
    };
    details.addEventListener("toggle", () => { if (details.open) fill(); });
    if (open) fill();
    return details;
  },
};
