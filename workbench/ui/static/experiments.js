/* The tabs of experiments: the experiment that is shown, its tables, and the list of all. */
(function () {
  "use strict";
  const { el, add, plural, heading, button, time } = window.SDPOPage.kit;
  const parts = window.SDPOPage.parts;
  const amount = (progress) => `${progress.done.toLocaleString("en-US")} of ${progress.total.toLocaleString("en-US")} ${progress.unit}`;

  function bar(done, total, label) {
    const progress = el("progress", "ex-bar");
    progress.max = total;
    progress.value = done;
    progress.setAttribute("aria-label", label);
    return progress;
  }

  function now(root, data) {
    if (data.empty !== undefined) { root.replaceChildren(...(data.empty ? [el("p", "wb-empty wb-empty-large", data.empty)] : [])); return; }
    const most = data.kind === "discover" ? "at most " : "about ";
    const left = data.state === "running" ? (data.left === null ? ", remaining time unknown until the next step" : `, ${most}${time(data.left)} left`) : "";
    const words = { running: "running", finished: "finished", stopped: data.resume ? "stopped: Resume in the list continues from here" : "not finished on disk" };
    const line = add(el("p", "ex-state"), bar(data.done, data.total, `Progress of ${data.name}`), el("span", "", `${amount(data)}, ${words[data.state]}${left}`));
    const shown = [el("h3", "ex-name", data.name), el("p", "wb-quiet", `${data.what}. All arms start from ${data.start}.`), line];
    for (const sentence of data.alarms) shown.push(el("p", "ex-alarm", sentence));
    if (data.race.length) shown.push(race(data.race));
    root.replaceChildren(...shown);
  }

  /* Every method on the task being searched. */
  function race(rows) {
    const box = el("div", "ex-race");
    box.append(el("p", "wb-quiet", `Now: ${rows[0].prompt}`));
    for (const row of rows) {
      const status = row.found ? `found at attempt ${row.found}` : row.done ? `not found in ${row.spent}` : row.spent ? `${plural(row.spent, "attempt")} so far` : "not yet";
      add(box, add(el("div", "ex-lane"), el("span", "", row.method), bar(row.spent, row.budget, `Attempts of ${row.method}`), el("span", row.found ? "wb-pass" : "wb-quiet", status)));
    }
    return box;
  }

  function tables(root, data) {
    root.replaceChildren();
    for (const report of data.tables) {
      const table = el("table", "ex-table"), line = (kind, cells) => add(el("tr"), ...cells.map((text) => el(kind, "", text)));
      add(table, add(el("thead"), line("th", report.columns)), add(el("tbody"), ...report.rows.map((cells) => line("td", cells.map((text) => text || "–")))));
      table.querySelectorAll("th").forEach((cell) => { cell.scope = "col"; });
      const scroll = add(el("div", "cmp-scroll"), table);
      scroll.tabIndex = 0; // wider than a narrow screen: scrolled by the arrow keys
      scroll.setAttribute("role", "region");
      scroll.setAttribute("aria-label", report.title);
      root.append(heading(report.title));
      if (report.note) root.append(el("p", "wb-quiet ex-note", report.note));
      root.append(scroll);
    }
  }

  function list(root, data, trigger) {
    const focused = root.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    root.replaceChildren();
    if (!data.rows.length) return;
    const items = el("ul", "wb-runs ex-list");
    for (const row of data.rows) {
      const item = add(el("li"), el("strong", "", row.name), el("span", "wb-kind", row.state), el("span", "wb-quiet", `${amount(row)} · ${row.what}`));
      const press = (text, verb) => {
        const node = button("wb-small", text, () => trigger("select", { id: row.name, verb }));
        node.setAttribute("aria-label", `${text} ${row.name}`);
        item.append(node);
      };
      if (row.shown) item.setAttribute("aria-current", "true");
      else press("Show", "show");
      if (row.resume) press("Resume", "resume");
      items.append(item);
    }
    root.append(heading("Experiments of this run"), items);
    const again = focused && [...root.querySelectorAll("button")].find((node) => node.getAttribute("aria-label") === focused);
    if (again) again.focus();
  }

  for (const tab of ["learn", "discover", "studies"]) Object.assign(parts, { [`${tab}-now`]: now, [`${tab}-tables`]: tables, [`${tab}-list`]: list });
})();
