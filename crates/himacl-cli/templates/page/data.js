"use strict";
// What the page carries, unpacked: facts by name, arrays by name.

const bytesOf = (text) => {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let at = 0; at < raw.length; at++) bytes[at] = raw.charCodeAt(at);
  return bytes;
};

const unpack = async (text) => {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  const buffer = await new Response(stream).arrayBuffer();
  const length = Number(new DataView(buffer).getBigUint64(0, true));
  const utf8 = new TextDecoder();
  const facts = JSON.parse(utf8.decode(new Uint8Array(buffer, 8, length)));
  const start = Math.ceil((8 + length) / 8) * 8;
  const kinds = { u32: Uint32Array, f32: Float32Array, u16: Uint16Array, i8: Int8Array };
  const data = { ...facts };
  for (const [name, [kind, offset, size]] of Object.entries(facts.arrays)) {
    const bytes = new Uint8Array(buffer, start + offset, size);
    data[name] = kind === "json"
      ? JSON.parse(utf8.decode(bytes))
      : new kinds[kind](buffer, start + offset, size / kinds[kind].BYTES_PER_ELEMENT);
  }
  return data;
};

const NONE = 0xffffffff, NO_GROUP = 0xffff;

/// The numbers of the pairs of each item of a side, from the ends of all pairs there.
const pairsByItem = (ends, items) => {
  const starts = new Uint32Array(items + 1), numbers = new Uint32Array(ends.length);
  ends.forEach((item) => { starts[item + 1]++; });
  for (let item = 0; item < items; item++) starts[item + 1] += starts[item];
  const next = starts.slice();
  ends.forEach((item, pair) => { numbers[next[item]++] = pair; });
  return (item) => numbers.subarray(starts[item], starts[item + 1]);
};

/// Adds what is looked up again and again.
const prepare = (data) => {
  data.ends = [data.pairX, data.pairY];
  data.sides = ["X", "Y"].map((side, at) => ({
    side, at, count: at ? data.m : data.n, texts: data["texts" + side], rows: data["rows" + side], plane: data["plane" + side],
    along: data["along" + side], nearest: data["nearest" + side], nearestCost: data["nearestCost" + side],
    rivals: data["rivals" + side], rivalsCost: data[`rivals${side}Cost`], rivalsReduced: data[`rivals${side}Reduced`],
    picture: data["picture" + side], pictures: data["pictures" + side], pairs: pairsByItem(data.ends[at], at ? data.m : data.n),
  }));
  // An entry is a pair by its number, or, from there on, a single item.
  data.singles = data.sides.flatMap((side) => [...Array(side.count).keys()].filter((item) => !side.pairs(item).length).map((item) => [side, item]));
  data.entryOf = (side, item) => side.pairs(item)[0] ?? data.pairs + data.singles.findIndex(([of, at]) => of === side && at === item);
  /// The x and the y of an entry; `NONE` for what a single item lacks.
  data.endsOf = (entry) => {
    if (entry < data.pairs) return [data.pairX[entry], data.pairY[entry]];
    const [side, item] = data.singles[entry - data.pairs];
    return side.at ? [NONE, item] : [item, NONE];
  };
  // The group of each pair: its node of the first level below the root.
  data.group = new Uint16Array(data.pairs).fill(NO_GROUP);
  data.groups = data.tree.map((node, at) => ({ ...node, at })).filter((node) => node.level === 1);
  data.groups.forEach((node, group) => {
    for (let at = node.start; at < node.start + node.size; at++) data.group[data.treeOrder[at]] = group;
  });
  return data;
};
