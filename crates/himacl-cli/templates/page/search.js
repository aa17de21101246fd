"use strict";
// Search, where the page comes from `himacl serve`.

const Search = {
  sides: ["source", "target"],

  build(section) {
    const text = element("input", { type: "search", id: "search-text", placeholder: "words", size: "40" });
    const file = element("input", { type: "file", id: "search-image", accept: "image/*" });
    const among = element("select", { id: "search-modality" }, [["", "the other side"], ["source", "source"], ["target", "target"]].map(([value, name]) => element("option", { value }, name)));
    Search.status = element("p", { role: "status" });
    Search.hits = element("ol", { class: "hits" });
    const form = element("form", { class: "bar" }, element("label", {}, "Text", text), element("label", {}, "or picture", file), element("label", {}, "among", among), element("button", {}, "Search"));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      Search.ask(text.value, file.files[0], among.value);
    });
    section.append(form, Search.status, Search.hits);
  },

  async ask(text, file, side) {
    Search.status.textContent = "Searching …";
    try {
      const query = { text: file ? null : text, image: file ? await Search.base64(file) : null, side, num_images: 24, num_result_ids: 24, modality: "", indice_name: "" };
      const answer = await fetch("/knn-service", { method: "POST", body: JSON.stringify(query) });
      const found = await answer.json();
      if (!answer.ok) throw new Error(found.message);
      Search.status.textContent = `${found.length} found among the ${found[0]?.side ?? "items"}`;
      Search.hits.replaceChildren(...found.map((hit) => Search.card(hit)));
    } catch (error) {
      Search.status.textContent = `Not found: ${error.message}`;
      Search.hits.replaceChildren();
    }
  },

  card(hit) {
    const side = App.data?.sides[Search.sides.indexOf(hit.side)], item = side ? side.rows.indexOf(hit.id) : -1;
    const inner = [hit.url && element("img", { src: new URL(hit.url).pathname, alt: "" }), element("span", { class: "words", dir: "auto" }, hit.caption || `row ${hit.id}`),
      element("span", { class: "small" }, `row ${hit.id}, score ${shown(hit.similarity)}`)];
    if (item < 0) return element("li", {}, inner);
    return element("li", {}, element("button", { class: "link", type: "button", on: { click: () => App.show(side, item) } }, inner));
  },

  base64(file) {
    return new Promise((done, failed) => {
      const reader = new FileReader();
      reader.onload = () => done(reader.result.split(",")[1]);
      reader.onerror = () => failed(reader.error);
      reader.readAsDataURL(file);
    });
  },
};
