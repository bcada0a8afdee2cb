async function ({ place, packed }) {
  // Draws the tree of a schema: search box, tables that fold, columns made when one is opened.
  // Text from the database goes in by textContent alone.
  const AT_ONCE = 100;
  const root = document.getElementById(place);
  if (!root || typeof DecompressionStream === "undefined") return;
  const bytes = Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const unpacked = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const { tables, notes } = await new Response(unpacked).json();
  const make = (tag, text, style) => {
    const element = document.createElement(tag);
    if (text) element.textContent = text;
    if (style) element.style.cssText = style;
    return element;
  };
  const faint = "opacity:0.7;font-size:0.9em;";
  const texts = tables.map(([name, , , comment, columns]) =>
    [name, comment, ...columns.map((c) => `${c[0]} ${c[3]}`)].join("\n").toLowerCase());

  const box = make("input", "", "width:100%;box-sizing:border-box;padding:4px 8px;margin:2px 0;" +
    "color:inherit;background:transparent;border:1px solid rgba(128,128,128,0.6);border-radius:4px");
  box.type = "search";
  box.placeholder = "Search tables, columns, comments";
  box.setAttribute("aria-label", box.placeholder);
  const line = make("div", "", faint + "margin:2px 0");
  const list = make("div", "", "max-height:30em;overflow:auto");
  for (const kind of ["keydown", "keyup", "keypress"]) {
    box.addEventListener(kind, (event) => event.stopPropagation());  // no shortcuts of the page
  }

  const openTable = (details, [, , , , columns, keys, references]) => {
    const inside = make("div", "", "margin:0 0 6px 18px");
    const grid = make("div", "", "display:grid;gap:1px 14px;" +
      "grid-template-columns:max-content max-content max-content auto");
    for (const [name, type, marks, comment] of columns) {
      grid.append(make("span", name), make("span", type, faint),
        make("span", marks.join(" "), faint), make("span", comment, faint));
    }
    inside.append(grid);
    for (const key of keys) inside.append(make("div", key, faint));
    for (const [text, other] of references) {
      const link = make("a", text, "cursor:pointer;display:block");
      link.addEventListener("click", () => { box.value = other; draw(true); });
      inside.append(link);
    }
    details.append(inside);
  };

  const entry = (table, open) => {
    const details = make("details");
    const summary = make("summary", "", "cursor:pointer");
    summary.append(make("b", table[0]), make("span", " " + table[2], faint),
      make("span", " " + table[3], faint));
    details.append(summary);
    details.addEventListener("toggle", () => {
      if (details.open && details.childElementCount === 1) openTable(details, table);
    });
    details.open = open;
    return details;
  };

  const spaces = new Set(tables.map((table) => table[1]));
  const show = (found, from, open) => {
    let space = from ? tables[found[from - 1]][1] : null;
    for (const at of found.slice(from, from + AT_ONCE)) {
      const table = tables[at];
      if (spaces.size > 1 && table[1] !== space) {
        space = table[1];
        list.append(make("div", space || "(no schema)", faint + "margin-top:4px"));
      }
      list.append(entry(table, open));
    }
    const left = found.length - from - AT_ONCE;
    if (left <= 0) return;
    const more = make("button", `Show more (${left.toLocaleString("en")} left)`, "margin:4px 0");
    more.addEventListener("click", () => { more.remove(); show(found, from + AT_ONCE, false); });
    list.append(more);
  };

  const draw = (exact) => {
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    const whole = box.value.toLowerCase().trim();
    const named = tables.map((_, at) => at).filter((at) => tables[at][0].toLowerCase() === whole);
    const found = exact && named.length ? named : tables.map((_, at) => at)
      .filter((at) => words.every((word) => texts[at].includes(word)));
    const rank = (at) => words.every((w) => tables[at][0].toLowerCase().includes(w)) ? 0 : 1;
    if (words.length) found.sort((one, other) => rank(one) - rank(other) || one - other);
    line.textContent = `${found.length.toLocaleString("en")} of ` +
      `${tables.length.toLocaleString("en")} ${tables.length === 1 ? "table" : "tables"}`;
    list.replaceChildren();
    show(found, 0, found.length <= 3);
  };

  box.addEventListener("input", () => draw(false));
  root.replaceChildren(box, line, list, ...notes.map((note) => make("div", note, faint)));
  draw(false);
}
