/* The tab "Compare": rows of numbers under the attempt's tokens, all aligned and on one printed scale; two runs. */
(function () {
  "use strict";
  const { el, add, percent, plural, heading } = window.SDPOPage.kit;
  const { pieces, quoted, num, lens, colour, valueText } = window.SDPOHeatmap.kit;
  const parts = window.SDPOPage.parts;

  parts.compared = (root, data) => {
    const attempt = data.attempt || "No attempt yet: sample some in the tab Round, and choose one there.";
    root.replaceChildren(heading("Compare"), el("p", "wb-lead", attempt));
  };
  parts.compare = (root, data) => {
    if (root.watching) root.watching.disconnect();
    if (data.runs) drawRuns(root, data.runs);
    else drawRows(root, data.rows);
  };

  /* One attempt ------------------------------------------------------------------------------------------------ */
  function drawRows(root, result) {
    const looks = result.views.map((view) => lens({ views: [view], noise_floor: view.noise_floor,
      limits: view.unit === "nats" && result.limit > 0 ? { [view.name]: result.limit } : {} }, view.name, "linear"));
    const area = el("div", "hm cmp-area"), live = el("p", "cmp-live"), blocks = el("div", "cmp-blocks");
    area.dataset.theme = "host";
    blocks.tabIndex = 0;
    blocks.setAttribute("role", "group");
    blocks.setAttribute("aria-label", "Rows of numbers under the tokens; arrows move over the tokens");
    live.setAttribute("aria-live", "polite");
    const absent = el("ul", "wb-quiet cmp-absent");
    for (const [name, why] of Object.entries(result.absent)) absent.append(el("li", "", `${name.replaceAll("_", " ")}: left out, ${why.replace(/\.$/, "")}.`));
    add(area, legend(result), blocks, live);
    root.replaceChildren(el("p", "wb-lead cmp-summary", result.summary), area, absent);

    let at = -1;
    function point(index) {
      if (index < 0 || index >= result.tokens.length) return;
      at = index;
      for (const node of blocks.querySelectorAll(".cmp-at")) node.classList.remove("cmp-at");
      for (const node of blocks.querySelectorAll(`[data-i="${index}"]`)) node.classList.add("cmp-at");
      blocks.querySelectorAll(".cmp-value").forEach((node) => { node.textContent = shortValue(looks[node.dataset.row], index); });
      const readings = looks.map((look) => `${look.view.title} ${valueText(look, index)}`).join("; ");
      live.textContent = `Token ${index + 1} of ${result.tokens.length}, ${quoted(result.tokens[index].text)}: ${readings}.`;
    }
    blocks.addEventListener("pointerover", (event) => { const i = event.target.closest("[data-i]"); if (i) point(Number(i.dataset.i)); });
    blocks.addEventListener("keydown", (event) => {
      const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: result.tokens.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      point(Math.max(0, to));
      const node = blocks.querySelector(".cmp-token.cmp-at");
      if (node) node.scrollIntoView({ block: "nearest", inline: "nearest" });
    });

    let width = 0;
    const lay = () => {
      if (!blocks.clientWidth || blocks.clientWidth === width) return;
      width = blocks.clientWidth;
      blocks.replaceChildren(...packed(result.tokens, width).map((columns) => block(columns, looks)));
      if (at >= 0) point(at);
    };
    root.watching = new ResizeObserver(lay);
    root.watching.observe(blocks);
    lay();
  }

  function legend(result) {
    const nats = result.views.filter((view) => view.unit === "nats").length, line = el("p", "cmp-legend");
    if (nats && result.limit > 0) {
      const ramp = el("i");
      ramp.setAttribute("aria-hidden", "true");
      add(line, add(el("span", "cmp-ramp"), `−${num(result.limit)}`, ramp, `+${num(result.limit)} nats`),
        el("span", "", `one scale for ${nats === result.views.length ? "all rows" : "all rows in nats"}, clipped at their 99th percentile`));
      if (nats < result.views.length) line.append(el("span", "", "weights and rewards: each on its own full range, printed beside it"));
    }
    line.append(el("span", "", "solid line: above the middle, dashed: below; grey: noise; point at a token, or press an arrow key, for its numbers"));
    return line;
  }

  /* Columns are pieces of tokens; a newline ends a line of code, and whole lines share a block where they fit. */
  function packed(tokens, width) {
    const lines = [[]];
    tokens.forEach((token, i) => pieces(token).forEach((content, k, all) => {
      lines.at(-1).push({ i, content });
      if (k < all.length - 1 || token.text.endsWith("\n")) lines.push([]);
    }));
    const fits = width - 310; // without the labels' column
    const size = (columns) => columns.reduce((sum, column) => sum + Math.max(13, 8.5 * column.content.textContent.length + 3), 0);
    const blocks = [];
    for (const line of lines.filter((columns) => columns.length)) {
      const last = blocks.at(-1);
      if (last && size(last) + size(line) <= fits) last.push(...line);
      else blocks.push([...line]);
    }
    return blocks;
  }

  function block(columns, looks) {
    const grid = el("div", "cmp-block");
    grid.style.gridTemplateColumns = `var(--cmp-label) repeat(${columns.length}, max-content) 1fr`;
    const cell = (cls, column) => { const node = el("span", cls); node.dataset.i = column.i; return node; };
    add(grid, el("span", "cmp-label"), ...columns.map((column) => add(cell("cmp-token", column), column.content.cloneNode(true))), el("span"));
    looks.forEach((look, row) => {
      const label = el("span", "cmp-label"), value = el("span", "cmp-value", range(look));
      value.dataset.row = row;
      label.title = look.view.how;
      add(grid, add(label, el("span", "cmp-name", look.view.title), value));
      for (const column of columns) {
        const node = cell(`cmp-cell cmp-${look.kind(column.i)}`, column);
        node.style.background = colour(look, column.i);
        node.style.setProperty("--w", look.strength(column.i).toFixed(2));
        grid.append(node);
      }
      grid.append(el("span"));
    });
    return grid;
  }
  const shortValue = (look, i) => valueText(look, i).split(",")[0]; // without the remark on noise
  const range = (look) => (look.own === "fixed" ? `${num(look.view.signed ? look.centre - look.limit : look.centre)} to ${num(look.centre + look.limit)}` : look.own === "attempt" ? `up to ${num(look.centre + look.limit)}` : "");

  /* Two runs --------------------------------------------------------------------------------------------------- */
  function drawRuns(root, runs) {
    const names = runs.runs.map((run) => run.name);
    const facts = table(["run", "updates", "attempts", "compared at"], runs.runs.map((run) => [run.name, run.updates, run.attempts, run.update_id]));
    const rate = (task) => `${task.passed} of ${task.total} (${percent(task.low)} to ${percent(task.high)})`;
    const shown = [el("p", "wb-lead cmp-summary", runs.summary), facts];
    shown.push(heading(`Tasks attempted in both: the newest attempts of each, with 95 % intervals`));
    shown.push(runs.tasks.length ? table(["task", ...names], runs.tasks.map((task) => [task.prompt || task.task, ...task.rates.map(rate)]))
      : el("p", "wb-empty", "None: sample the same task in both runs to see it here."));
    shown.push(heading(`${plural(Object.keys(runs.settings).length, "setting")} ${Object.keys(runs.settings).length === 1 ? "differs" : "differ"}`));
    if (Object.keys(runs.settings).length) shown.push(table(["setting", ...names], Object.entries(runs.settings).map(([name, pair]) => [name, ...pair.map((value) => (typeof value === "object" ? JSON.stringify(value) : String(value)))])));
    root.replaceChildren(...shown);
  }
  function table(head, rows) {
    const line = (kind, cells) => add(el("tr"), ...cells.map((text) => el(kind, "", String(text))));
    return add(el("div", "cmp-scroll"), add(el("table", "cmp-table"), line("th", head), ...rows.map((cells) => line("td", cells))));
  }
})();
