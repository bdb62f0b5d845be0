/* The attempt as code: its tokens in lines, each with its colour, and what each line adds up to. */
function codeArea(uid) {
  const node = el("div", "hm-code");
  node.tabIndex = 0; // the one tab stop; the token under the cursor is its active descendant
  node.setAttribute("role", "listbox");
  node.setAttribute("aria-label", "Tokens of the attempt; press ? for keys");
  node.id = `${uid}-code`;
  const area = { node, spans: [], sums: [], lines: [], thought: [] }; // spans: per token, its pieces

  area.draw = (payload) => {
    node.replaceChildren();
    node.classList.toggle("hm-long", payload.tokens.length > 400);
    Object.assign(area, { spans: [], sums: [], lines: payload.lines || [], lineOf: [] });
    area.thought = payload.tokens.map((_, i) => (payload.reasoning || []).some(([start, end]) => i >= start && i < end));
    if (!payload.tokens.length) { node.append(el("p", "hm-empty", "This attempt has no tokens.")); return; }
    area.lines.forEach((positions, line) => { for (const i of positions) area.lineOf[i] = line; });
    const drawn = document.createDocumentFragment();
    let source = null, inside = area.thought[0], ended = false;
    const newLine = (goesOn) => { // goesOn: a row of its own for the rest of a line, where reasoning begins or ends in it
      source = el("span", "hm-src");
      const number = el("span", "hm-no", goesOn ? "" : String(area.sums.length + 1)), sum = el("span", "hm-sum");
      for (const quiet of [number, sum]) quiet.setAttribute("aria-hidden", "true"); // said by the live text instead
      const row = add(el("div", inside ? "hm-row hm-thought" : "hm-row"), number, source, sum);
      row.setAttribute("role", "presentation");
      if (!goesOn) area.sums.push(sum);
      drawn.append(row);
    };
    newLine();
    payload.tokens.forEach((entry, i) => {
      if (area.thought[i] !== inside) { inside = !inside; newLine(!ended); ended = false; }
      area.spans.push(pieces(entry).map((content, part) => {
        if (part > 0 || ended) newLine();
        ended = false;
        const span = add(el("span", "hm-t"), content);
        span.dataset.i = i;
        if (part === 0) { span.id = `${uid}-${i}`; span.setAttribute("role", "option"); span.setAttribute("aria-label", quoted(entry.text)); }
        else span.setAttribute("role", "presentation");
        source.append(span);
        return span;
      }));
      ended = entry.text.slice(0, LONGEST).endsWith("\n");
    });
    node.append(drawn);
  };

  area.paint = (state) => {
    const { look, second } = state;
    area.spans.forEach((parts, i) => {
      const kind = look.kind(i);
      const differs = second && kind !== "q" && second.kind(i) !== "q" && kind !== second.kind(i) &&
        Math.min(look.strength(i), second.strength(i)) >= 0.05;
      for (const span of parts) {
        span.className = `hm-t hm-${kind}${second ? " hm-two" : ""}${differs ? " hm-differs" : ""}`;
        span.style.setProperty("--w", `${(look.strength(i) * 100).toFixed(1)}%`);
        if (second) { span.style.setProperty("--c1", colour(look, i)); span.style.setProperty("--c2", colour(second, i)); }
      }
    });
    area.mark(state);
    drawSums(look);
  };

  /* Which tokens are under the cursor, open, or in the selected span. */
  let marked = [];
  area.mark = (state) => {
    for (const i of marked) {
      for (const span of area.spans[i] || []) span.classList.remove("hm-cursor", "hm-chosen", "hm-span");
      if (area.spans[i]) for (const name of ["aria-selected", "aria-label"]) area.spans[i][0].removeAttribute(name);
    }
    const [start, end] = state.span || [0, 0];
    marked = [state.cursor];
    for (let i = start; i < end; i += 1) { marked.push(i); for (const span of area.spans[i]) span.classList.add("hm-span"); }
    const here = area.spans[state.cursor];
    if (!here) { node.removeAttribute("aria-activedescendant"); return; }
    for (const span of here) { span.classList.add("hm-cursor"); span.classList.toggle("hm-chosen", state.open); }
    here[0].setAttribute("aria-selected", "true"); // the only token that is ever announced
    here[0].setAttribute("aria-label", `${state.cursor + 1}: ${quoted(state.payload.tokens[state.cursor].text)} ${valueText(state.look, state.cursor)}`);
    node.setAttribute("aria-activedescendant", here[0].id);
  };

  function drawSums(look) {
    const shown = addsUp(look.view) && area.lines.length > 1;
    node.classList.toggle("hm-has-sums", shown);
    const totals = shown ? area.lines.map((positions) => total(look, positions)) : [];
    const largest = Math.max(...totals.map(Math.abs), 1e-12);
    area.sums.forEach((sum, line) => {
      const value = totals[line];
      if (!value) { sum.replaceChildren(); return; }
      const bar = el("i", value > 0 ? (look.view.signed ? "hm-bar-p" : "hm-bar-m") : "hm-bar-n");
      bar.style.width = `${(34 * Math.abs(value) / largest).toFixed(1)}px`;
      sum.replaceChildren(bar, plus(look, value) + num(value));
    });
  }

  /* In words, for the live text and the tooltip: what the line of a token adds up to. */
  area.lineText = (look, i) => {
    const line = area.lineOf[i];
    if (line === undefined || !addsUp(look.view) || area.lines.length < 2) return "";
    const value = total(look, area.lines[line]);
    return `line ${line + 1} adds up to ${withUnit(look.view, plus(look, value) + num(value))}`;
  };

  /* The nearest token on the next line (step 1) or the one before (-1), as lines are wrapped on this screen; or -1. */
  area.vertical = (from, step) => {
    const here = area.spans[from][0].getClientRects()[0];
    let best = -1, cost = Infinity;
    area.spans.forEach((parts, i) => parts.forEach((span) => {
      for (const box of span.getClientRects()) {
        const down = (box.top - here.top) * step;
        if (down < here.height / 2 || i === from) continue;
        const distance = Math.round(down / 8) * 1e4 + Math.abs(box.left - here.left);
        if (distance < cost) { cost = distance; best = i; }
      }
    }));
    return best;
  };
  return area;
}

/* Cumulative credit: a line from the first token of the attempt to its last. */
function cumulativeCurve(payload) {
  const view = viewOf(payload, "evidence");
  if (!view || view.values.length < 2) return null;
  const values = view.values.map((value) => value || 0), low = Math.min(0, ...values), high = Math.max(0, ...values);
  const W = 200, H = 24, y = (value) => (high === low ? H / 2 : 1 + (H - 2) * (high - value) / (high - low));
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", `0 0 ${W} ${H}`); svg.setAttribute("preserveAspectRatio", "none"); svg.setAttribute("aria-hidden", "true");
  const draw = (cls, d) => {
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
    path.setAttribute("class", cls); path.setAttribute("d", d); path.setAttribute("vector-effect", "non-scaling-stroke");
    svg.append(path);
  };
  draw("hm-zero", `M0 ${y(0)}H${W}`);
  draw("hm-curve", "M" + values.map((value, i) => `${(i * W / (values.length - 1)).toFixed(1)} ${y(value).toFixed(1)}`).join("L"));
  return add(el("div", "hm-cumulative"), el("span", "", "cumulative credit"), svg, el("span", "", `Σ A ${signed(values.at(-1))} nats`));
}
