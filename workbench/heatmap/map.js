/* The group at a glance: attempts by positions on one scale, and equal lines or sentences over all attempts. */

/* `on`: {pick(row, index), point(row, index, x, y), leave()}. A row is an attempt's payload, or the part of it that a
   host sends ahead: id, tokens, lines, sentences, views, noise_floor, and how it was judged (label, passed). */
function groupMap(on, open) {
  const node = el("details", "hm-map"), rows = el("div", "hm-map-rows"), shared = el("details", "hm-map-lines");
  rows.setAttribute("role", "group");
  rows.setAttribute("aria-label", "Map of the group");
  const caption = el("summary", "hm-map-title");
  node.open = open;
  node.addEventListener("toggle", paintSoon);
  shared.addEventListener("toggle", () => drawShared());
  shared.append(el("summary"));
  add(node, caption, rows, shared);
  let drawn = null; // {group, looks, longest}

  function strip(group, k) {
    const one = group[k], row = el("div", "hm-map-row");
    const mark = one.passed === undefined ? "" : one.passed ? " ✓" : " ✗";
    const label = button("hm-map-label", `${one.label || k + 1}${mark}`, `Show attempt ${one.label || k + 1}`);
    label.tabIndex = -1; // by keyboard: [ and ] in the code
    label.addEventListener("click", () => on.pick(k, null));
    const canvas = el("canvas");
    canvas.setAttribute("aria-hidden", "true");
    const indexAt = (event) => {
      const box = canvas.getBoundingClientRect();
      const i = Math.floor((event.clientX - box.left) / box.width * drawn.longest);
      return i >= 0 && i < one.tokens.length ? i : null;
    };
    canvas.addEventListener("click", (event) => on.pick(k, indexAt(event)));
    canvas.addEventListener("pointermove", (event) => {
      const i = indexAt(event);
      if (i === null || event.pointerType === "touch") on.leave();
      else on.point(k, drawn.looks[k], i, event.clientX, canvas.getBoundingClientRect());
    });
    canvas.addEventListener("pointerleave", () => on.leave());
    return add(row, label, canvas);
  }

  /* `state`: the group, the view and the scale in force, the payload that is shown; `asText`: sentences are added up, not lines. */
  function draw(state, asText) {
    const group = state.payload.group || [];
    node.hidden = group.length < 2;
    if (node.hidden) return;
    // A host may send only some views of the other attempts; of any other view the map shows the first of those.
    const name = group.every((one) => viewOf(one, state.view)) ? state.view : group[0].views[0].name;
    if (!drawn || drawn.group !== group) rows.replaceChildren(...group.map((_, k) => strip(group, k)));
    drawn = { group, asText, looks: group.map((one) => lens(one, name, state.scale, group)), longest: Math.max(1, ...group.map((one) => one.tokens.length)) };
    group.forEach((one, k) => rows.children[k].firstChild.setAttribute("aria-pressed", String(one.id === state.payload.id)));
    caption.textContent = `${group.length} attempts by positions: ${drawn.looks[0].view.title}`;
    paintSoon();
    drawShared();
  }

  /* Once per frame, however many reasons there are. */
  let due = 0;
  function paintSoon() {
    if (!due) due = requestAnimationFrame(() => { due = 0; paint(); });
  }

  /* Where several tokens fall on one column of pixels, the strongest of them is seen. */
  function paint() {
    if (!drawn || node.hidden || !node.open) return;
    const style = getComputedStyle(node);
    const rgb = (name) => { const hex = style.getPropertyValue(name).trim(); return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)); };
    const ground = rgb("--hm-bg"), quiet = rgb("--hm-quiet-bg"), ends = { p: rgb("--hm-pos"), n: rgb("--hm-neg"), m: rgb("--hm-mag") };
    const width = Math.round(rows.firstChild.lastChild.clientWidth * (window.devicePixelRatio || 1)), { longest } = drawn;
    if (!width) return;
    const columns = Math.min(width, longest); // then stretched: a token is at least one column
    drawn.looks.forEach((look, k) => {
      const canvas = rows.children[k].lastChild;
      canvas.width = columns; canvas.height = 1;
      const context = canvas.getContext("2d"), image = context.createImageData(columns, 1), strongest = new Float32Array(columns).fill(-1);
      for (let i = 0; i < look.values.length; i += 1) {
        const kind = look.kind(i), strength = kind === "q" ? 0 : look.strength(i), share = kind === "q" ? 1 : Math.max(strength, 0.06);
        const end = kind === "q" ? quiet : ends[kind], from = Math.floor(i * columns / longest);
        const to = Math.max(from + 1, Math.floor((i + 1) * columns / longest));
        for (let x = from; x < to; x += 1) {
          if (strength <= strongest[x]) continue;
          strongest[x] = strength;
          for (let c = 0; c < 3; c += 1) image.data[4 * x + c] = ground[c] + (end[c] - ground[c]) * share;
          image.data[4 * x + 3] = 255;
        }
      }
      context.putImageData(image, 0, 0);
    });
  }

  /* Equal lines of code or sentences, up to white space at their ends, with what they add up to over the group. */
  function drawShared() {
    const found = new Map(), unit = drawn.asText ? "sentence" : "line";
    const counts = drawn.group.every((one) => one[`${unit}s`]) && addsUp(drawn.looks[0].view);
    shared.hidden = !counts;
    shared.firstChild.textContent = `Credit per ${drawn.asText ? "sentence" : "line of code"} over ${drawn.group.length} attempts`;
    if (!counts || !shared.open) return;
    drawn.group.forEach((one, k) => one[`${unit}s`].forEach((positions) => {
      const text = positions.map((i) => one.tokens[i].text).join("").trim();
      if (!text) return;
      const piece = found.get(text) || { text, attempts: new Set(), total: 0 };
      piece.attempts.add(k);
      piece.total += total(drawn.looks[k], positions);
      found.set(text, piece);
    }));
    const listed = [...found.values()].sort((a, b) => Math.abs(b.total) - Math.abs(a.total)).slice(0, 12);
    const table = el("table"), look = drawn.looks[0];
    table.append(add(el("tr"), el("th", "", unit), el("th", "", "attempts"), el("th", "", `Σ ${look.view.title}, ${look.view.unit}`)));
    for (const piece of listed) {
      table.append(add(el("tr"), add(el("td", "hm-mono"), ...pieces({ text: piece.text })), el("td", "", `${piece.attempts.size} of ${drawn.group.length}`), el("td", "", plus(look, piece.total) + num(piece.total))));
    }
    shared.replaceChildren(shared.firstChild, table);
  }

  new ResizeObserver(paintSoon).observe(rows);
  new MutationObserver(paintSoon).observe(document.body, { attributes: true, attributeFilter: ["class", "data-theme"] });
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", paintSoon);
  return { node, draw };
}
