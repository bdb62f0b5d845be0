/* The tabs of experiments: the experiment that is shown, its tables, and the list of all. */
(function () {
  "use strict";
  const { el, add, plural, heading, button, time } = window.SDPOPage.kit;
  const parts = window.SDPOPage.parts;
  const far = (one) => `${one.done.toLocaleString("en-US")} of ${one.total.toLocaleString("en-US")} ${one.unit}`;

  function bar(done, total, label) {
    const made = el("progress", "ex-bar");
    made.max = total;
    made.value = done;
    made.setAttribute("aria-label", label);
    return made;
  }

  function now(root, data) {
    if (data.empty !== undefined) { root.replaceChildren(...(data.empty ? [el("p", "wb-empty wb-empty-large", data.empty)] : [])); return; }
    const most = data.kind === "discover" ? "at most " : "about ";
    const left = data.state === "running" ? (data.left === null ? ", remaining time unknown until the next step" : `, ${most}${time(data.left)} left`) : "";
    const words = { running: "running", finished: "finished", stopped: data.resume ? "stopped: Resume in the list goes on from here" : "not finished in what is on disk" };
    const line = add(el("p", "ex-state"), bar(data.done, data.total, `Progress of ${data.name}`), el("span", "", `${far(data)}, ${words[data.state]}${left}`));
    const shown = [el("h3", "ex-name", data.name), el("p", "wb-quiet", `${data.what}. Everything begins from ${data.start}.`), line];
    for (const sentence of data.alarms) shown.push(el("p", "ex-alarm", sentence));
    if (data.race.length) shown.push(race(data.race));
    root.replaceChildren(...shown);
  }

  /* Every method on the task that is searched now. */
  function race(rows) {
    const box = el("div", "ex-race");
    box.append(el("p", "wb-quiet", `Now: ${rows[0].prompt}`));
    for (const row of rows) {
      const said = row.found ? `found at attempt ${row.found}` : row.done ? `not found in ${row.spent}` : row.spent ? `${plural(row.spent, "attempt")} so far` : "not yet";
      add(box, add(el("div", "ex-lane"), el("span", "", row.method), bar(row.spent, row.budget, `Attempts of ${row.method}`), el("span", row.found ? "wb-pass" : "wb-quiet", said)));
    }
    return box;
  }

  function tables(root, data) {
    root.replaceChildren();
    for (const one of data.tables) {
      const table = el("table", "ex-table"), line = (kind, cells) => add(el("tr"), ...cells.map((text) => el(kind, "", text)));
      add(table, add(el("thead"), line("th", one.columns)), add(el("tbody"), ...one.rows.map((cells) => line("td", cells.map((text) => text || "–")))));
      table.querySelectorAll("th").forEach((cell) => { cell.scope = "col"; });
      const scroll = add(el("div", "cmp-scroll"), table);
      scroll.tabIndex = 0; // wider than a narrow screen: scrolled by the arrow keys
      scroll.setAttribute("role", "region");
      scroll.setAttribute("aria-label", one.title);
      root.append(heading(one.title));
      if (one.note) root.append(el("p", "wb-quiet ex-note", one.note));
      root.append(scroll);
    }
  }

  function list(root, data, trigger) {
    const focused = root.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    root.replaceChildren();
    if (!data.rows.length) return;
    const items = el("ul", "wb-runs ex-list");
    for (const row of data.rows) {
      const item = add(el("li"), el("strong", "", row.name), el("span", "wb-kind", row.state), el("span", "wb-quiet", `${far(row)} · ${row.what}`));
      const press = (text, verb) => {
        const made = button("wb-small", text, () => trigger("select", { id: row.name, verb }));
        made.setAttribute("aria-label", `${text} ${row.name}`);
        item.append(made);
      };
      if (row.shown) item.setAttribute("aria-current", "true");
      else press("Show", "show");
      if (row.resume) press("Resume", "resume");
      items.append(item);
    }
    root.append(heading("Experiments of this run"), items);
    const again = focused && [...root.querySelectorAll("button")].find((one) => one.getAttribute("aria-label") === focused);
    if (again) again.focus();
  }

  for (const tab of ["learn", "discover", "studies"]) Object.assign(parts, { [`${tab}-now`]: now, [`${tab}-tables`]: tables, [`${tab}-list`]: list });
})();
