// A table of which one row can be chosen: with a click, or with the arrow keys.
export default {
  render({ model, el }) {
    const box = document.createElement("div");
    box.className = "dt-control dt-table";
    box.dataset.lmSuppressShortcuts = "true";
    const table = document.createElement("table");
    table.setAttribute("role", "grid");
    box.append(table);
    el.append(box);
    let rows = new Map();

    function show() {
      const focused = [...rows.values()].indexOf(document.activeElement);
      box.style.height = model.get("height");
      box.classList.toggle("dt-names", model.get("names"));
      table.replaceChildren();
      table.createCaption().textContent = model.get("caption");
      const head = table.createTHead().insertRow();
      for (const name of model.get("columns")) {
        const cell = document.createElement("th");
        cell.scope = "col";
        cell.textContent = name;
        head.append(cell);
      }
      const body = table.createTBody();
      rows = new Map();
      for (const [id, ...cells] of model.get("rows")) {
        const row = body.insertRow();
        for (const text of cells) row.insertCell().textContent = text;
        row.addEventListener("click", () => choose(id));
        rows.set(id, row);
        const note = model.get("notes")[id];
        if (note) {
          const cell = body.insertRow().insertCell();
          cell.className = "dt-note";
          cell.colSpan = model.get("columns").length;
          cell.setAttribute("role", "alert");
          cell.textContent = note;
        }
      }
      if (!rows.size) {
        const cell = body.insertRow().insertCell();
        cell.className = "dt-none";
        cell.colSpan = model.get("columns").length;
        cell.textContent = model.get("empty");
      }
      mark();
      const all = [...rows.values()];
      if (focused >= 0) all[Math.min(focused, all.length - 1)]?.focus({ preventScroll: true });
    }

    function mark() {
      const selected = model.get("selected");
      const reachable = rows.has(selected) ? selected : [...rows.keys()][0];
      for (const [id, row] of rows) {
        row.setAttribute("aria-selected", String(id === selected));
        row.tabIndex = id === reachable ? 0 : -1;
      }
      const row = rows.get(selected);
      if (!row) return;
      const top = row.offsetTop - table.tHead.offsetHeight;
      if (top < box.scrollTop) box.scrollTop = top;
      const bottom = row.offsetTop + row.offsetHeight;
      if (bottom > box.scrollTop + box.clientHeight) box.scrollTop = bottom - box.clientHeight;
    }

    function choose(id) {
      model.set("selected", id);
      model.save_changes();
      mark();
      rows.get(id).focus({ preventScroll: true });
    }

    box.addEventListener("keydown", (event) => {
      const ids = [...rows.keys()];
      const at = ids.findIndex((id) => rows.get(id) === event.target);
      const goals = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: ids.length - 1, Enter: at, " ": at };
      if (at < 0 || !(event.key in goals)) {
        if (at >= 0 && event.key === "Delete") model.send({ type: "delete", id: ids[at] });
        return;
      }
      event.preventDefault();
      event.stopPropagation();
      choose(ids[Math.min(ids.length - 1, Math.max(0, goals[event.key]))]);
    });
    for (const trait of ["rows", "columns", "notes", "caption", "empty"]) model.on(`change:${trait}`, show);
    model.on("change:selected", mark);
    show();
  },
};
