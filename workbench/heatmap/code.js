/* The attempt as text or as lines of code: its tokens in rows, each with its colour, and what each line or sentence adds up to. */
function codeArea(uid) {
  const node = el("div", "hm-code");
  node.tabIndex = 0; // the one tab stop; the token under the cursor is its active descendant
  node.setAttribute("role", "listbox");
  node.setAttribute("aria-label", "Tokens of the attempt; press ? for keys");
  node.id = `${uid}-code`;
  // spans: per token, its pieces; clusters: the characters that several tokens spell, with their nodes
  const area = { node, spans: [], sums: [], lines: [], sentences: [], thought: [], clusters: [], asText: false };

  /* `layout`: "text", "lines", or "" for whichever suits the text. */
  area.draw = (payload, layout) => {
    node.replaceChildren();
    node.classList.toggle("hm-long", payload.tokens.length > 400);
    area.thought = payload.tokens.map((_, i) => (payload.reasoning || []).some(([start, end]) => i >= start && i < end));
    const texts = payload.tokens.map((entry) => entry.text.slice(0, LONGEST)), text = texts.join("");
    const answer = texts.filter((_, i) => !area.thought[i]).join("");
    area.asText = layout ? layout === "text" : isProse(answer.trim() ? answer : text);
    node.classList.toggle("hm-text", area.asText);
    const placed = (pieces) => { const of = []; (pieces || []).forEach((positions, number) => { for (const i of positions) of[i] = number; }); return of; };
    Object.assign(area, { spans: [], sums: [], clusters: clusters(texts, text), lines: payload.lines || [], sentences: payload.sentences || [],
      lineOf: placed(payload.lines), sentenceOf: placed(payload.sentences) });
    if (!texts.length) { node.append(el("p", "hm-empty", "This attempt has no tokens.")); return; }
    const drawn = document.createDocumentFragment(), places = hidden(text), sources = text.split("\n");
    const kinds = area.asText ? blocks(sources) : [], classes = area.asText ? emphasis(text, sources, kinds) : null;
    let source = null, line = -1, inside = area.thought[0], ended = false;
    const newLine = (goesOn) => { // goesOn: a row of its own for the rest of a line, where reasoning begins or ends in it
      if (!goesOn) line += 1;
      source = el("span", "hm-src");
      const row = add(el("div", inside ? "hm-row hm-thought" : "hm-row"), source);
      row.setAttribute("role", "presentation");
      drawn.append(row);
      if (area.asText) {
        const { kind, level, hang, fromRight } = kinds[line];
        row.classList.add(`hm-${kind}`);
        row.style.setProperty("--level", level); row.style.setProperty("--hang", goesOn ? 0 : hang);
        if (fromRight) source.dir = "rtl";
        return;
      }
      const number = el("span", "hm-no", goesOn ? "" : String(line + 1)), sum = sumCell();
      number.setAttribute("aria-hidden", "true");
      row.prepend(number); row.append(sum);
      if (!goesOn) area.sums.push(sum);
    };
    const piece = (i, content, parent) => {
      const span = add(el("span", "hm-t"), content), spans = area.spans[i];
      span.dataset.i = i;
      if (!spans.length) { span.id = `${uid}-${i}`; span.setAttribute("role", "option"); span.setAttribute("aria-label", quoted(payload.tokens[i].text)); }
      else span.setAttribute("role", "presentation");
      spans.push(span);
      parent.append(span);
    };
    const show = (i, from, to) => fragments(text, from, to, places, !area.asText, classes).forEach((content, part) => {
      if (!content.hasChildNodes()) { ended = true; return; } // behind a newline: what follows opens the next row
      if (part > 0 || ended) newLine();
      ended = false;
      piece(i, content, source);
    });
    newLine();
    let next = 0, at = 0;
    texts.forEach((own, i) => {
      if (area.thought[i] !== inside) { inside = !inside; newLine(!ended); ended = false; }
      area.spans.push([]);
      const end = at + own.length;
      let from = Math.max(at, next > 0 ? area.clusters[next - 1].to : 0);
      for (let shared = area.clusters[next]; shared && shared.first <= i; shared = area.clusters[next]) {
        if (shared.from > from) show(i, from, shared.from);
        if (ended) newLine();
        ended = false;
        if (!shared.node) { shared.node = el("span", "hm-cluster"); source.append(shared.node); }
        from = Math.max(end, from);
        piece(i, shared.last === i ? fragments(text, shared.from, shared.to, places, false, classes)[0] : "", shared.node);
        if (shared.last !== i) break;
        from = shared.to; next += 1;
      }
      if (from < end) show(i, from, end);
      at = end;
      const left = payload.tokens[i].text.length - own.length;
      if (left) { const mark = cut(left); mark.source = payload.tokens[i].text.slice(LONGEST); area.spans[i].at(-1).append(mark); }
      if (!area.spans[i].length) piece(i, el("span", "hm-ctl", "∅"), source);
    });
    if (area.asText) placeSums();
    node.append(drawn);
  };

  function sumCell() {
    const sum = el("span", "hm-sum");
    sum.setAttribute("aria-hidden", "true"); // said by the live text instead
    return sum;
  }

  /* Sums of sentences stand in the margin, each beside the end of its sentence: the browser keeps them apart, as they float. */
  function placeSums() {
    area.sums = area.sentences.map((positions) => {
      const sum = sumCell(), last = positions.at(-1);
      if (last === undefined) return sum;
      const spans = area.spans[last], end = spans.find((span) => span.textContent.trim()) || spans[0]; // not on the line before
      (end.closest(".hm-cluster") || end).after(sum);
      return sum;
    });
  }

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
    for (const shared of area.clusters) {
      const tokens = tokensOf(shared), strongest = tokens.reduce((a, b) => (look.strength(b) > look.strength(a) ? b : a));
      const turned = shared.node.closest("[dir=rtl]") ? "left" : "right", share = 100 / tokens.length;
      const stripes = (of) => `linear-gradient(to ${turned}, ${tokens.map((i, k) => `${colour(of, i)} ${share * k}% ${share * (k + 1)}%`).join(", ")})`;
      shared.node.className = `hm-cluster hm-${look.kind(strongest)}`;
      shared.node.style.setProperty("--w", `${(look.strength(strongest) * 100).toFixed(1)}%`);
      shared.node.style.background = second ? `${stripes(look)} 0 0 / 100% 50% no-repeat, ${stripes(second)} 0 100% / 100% 50% no-repeat` : stripes(look);
    }
    area.mark(state);
    drawSums(look);
  };
  const tokensOf = (shared) => Array.from({ length: shared.last - shared.first + 1 }, (_, k) => shared.first + k);
  const boxesOf = (i) => [...(area.spans[i] || []), ...area.clusters.filter((shared) => shared.first <= i && i <= shared.last).map((shared) => shared.node)];

  /* The token under the pointer: of a character that several spell, the one whose stripe it is on. */
  area.tokenAt = (event) => {
    const target = event.target.closest && event.target.closest(".hm-t, .hm-cluster"), held = target && target.closest(".hm-cluster");
    if (!held) return target ? +target.dataset.i : -1;
    const shared = area.clusters.find((one) => one.node === held), tokens = tokensOf(shared), box = held.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width, place = Math.floor((held.closest("[dir=rtl]") ? 1 - share : share) * tokens.length);
    return tokens[Math.max(0, Math.min(tokens.length - 1, place))];
  };
  area.fromRight = (i) => area.spans[i][0].closest("[dir=rtl]") !== null;

  /* The characters of the attempt between two places on the page, without marks, numbers and sums; null where one is outside. */
  area.copied = (range) => {
    if (!node.contains(range.commonAncestorContainer)) return null;
    let text = "";
    const walk = document.createTreeWalker(node);
    for (let one = walk.nextNode(); one; one = walk.nextNode()) {
      if (one.source === undefined || !range.intersectsNode(one) || !one.parentElement.getClientRects().length) continue;
      const isText = one.nodeType === Node.TEXT_NODE;
      text += one.source.slice(isText && one === range.startContainer ? range.startOffset : 0, isText && one === range.endContainer ? range.endOffset : undefined);
    }
    return text;
  };

  /* Which tokens are under the cursor, open, or in the selected span. */
  let marked = [];
  area.mark = (state) => {
    for (const i of marked) {
      for (const box of boxesOf(i)) box.classList.remove("hm-cursor", "hm-chosen", "hm-span");
      if (area.spans[i]) for (const name of ["aria-selected", "aria-label"]) area.spans[i][0].removeAttribute(name);
    }
    const [start, end] = state.span || [0, 0];
    marked = [state.cursor];
    for (let i = start; i < end; i += 1) { marked.push(i); for (const box of boxesOf(i)) box.classList.add("hm-span"); }
    if (!area.spans[state.cursor]) { node.removeAttribute("aria-activedescendant"); return; }
    for (const box of boxesOf(state.cursor)) { box.classList.add("hm-cursor"); box.classList.toggle("hm-chosen", state.open); }
    const here = area.spans[state.cursor][0];
    here.setAttribute("aria-selected", "true"); // the only token that is ever announced
    here.setAttribute("aria-label", `${state.cursor + 1}: ${quoted(state.payload.tokens[state.cursor].text)} ${valueText(state.look, state.cursor)}`);
    node.setAttribute("aria-activedescendant", here.id);
  };

  function drawSums(look) {
    const rolled = area.asText ? area.sentences : area.lines, shown = addsUp(look.view) && rolled.length > 1;
    node.classList.toggle("hm-has-sums", shown);
    const totals = shown ? rolled.map((positions) => total(look, positions)) : [];
    const largest = Math.max(...totals.map(Math.abs), 1e-12);
    area.sums.forEach((sum, place) => {
      const value = totals[place];
      if (!value) { sum.replaceChildren(); return; }
      const bar = el("i", value > 0 ? (look.view.signed ? "hm-bar-p" : "hm-bar-m") : "hm-bar-n");
      bar.style.width = `${(34 * Math.abs(value) / largest).toFixed(1)}px`;
      sum.replaceChildren(bar, plus(look, value) + num(value));
    });
  }

  /* In words, for the live text and the tooltip: what the sentence and the line of a token add up to. */
  area.sumsText = (look, i) => {
    if (!addsUp(look.view)) return "";
    const sum = (name, pieces, number) => {
      if (number === undefined || pieces.length < 2) return [];
      const value = total(look, pieces[number]);
      return [`${name} ${number + 1} adds up to ${withUnit(look.view, plus(look, value) + num(value))}`];
    };
    const { lines, sentences, lineOf, sentenceOf } = area;
    const same = sentences.length === lines.length; // no line has more than one
    return [...(same ? [] : sum("sentence", sentences, sentenceOf[i])), ...sum("line", lines, lineOf[i])].join(", ");
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
