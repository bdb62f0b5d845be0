/* The list of runs. */
(function () {
  "use strict";
  const { el, add, plural, heading, button } = window.SDPOPage.kit;

  window.SDPOPage.parts.runs = (root, data, trigger) => {
    root.replaceChildren(heading("Runs"));
    if (!data.runs.length) { root.append(el("p", "wb-empty", "Listing the runs …")); return; }
    const list = el("ul", "wb-runs");
    for (const run of data.runs) {
      const row = el("li"), open = run.name === data.open;
      row.append(el("strong", "", run.name), el("span", "wb-quiet", run.problem || `${run.model} · ${plural(run.attempts, "attempt")} · ${plural(run.updates, "update")} · ${run.changed.slice(0, 16).replace("T", " ")} UTC`));
      if (open) row.append(el("span", "wb-kind", "open"));
      else if (!run.problem) {
        const press = button("wb-small", "Open", () => trigger("select", { id: run.name }));
        press.setAttribute("aria-label", `Open the run ${run.name}`);
        row.append(press);
      }
      list.append(row);
    }
    root.append(list);
  };
})();
