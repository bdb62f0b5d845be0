/* The token heatmap: one function, no dependencies. Text of a model enters the page by textContent only.
   SDPOHeatmap.mount(element, payload, {theme}) -> {update(payload), select(index), setView(name)}
   The element dispatches "hm-select" {index} and "hm-view" {view}. */
(function () {
  "use strict";
  const LONGEST = 2000; // characters of one token that are shown
  const SCALES = ["linear", "asinh", "rank"];
  const KEYS = [["← →", "previous, next token"], ["↑ ↓", "the token above, below"], ["Home End", "first, last token"],
    ["n p", "next, previous token by size of the value"], ["Enter", "open the token: both distributions, the formula"],
    ["Escape", "close"], ["?", "this list"]];
  // C0 and C1 controls, soft hyphen, bidirectional marks and overrides, zero-width and other invisible characters.
  const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffd]|[\u{e0000}-\u{e0fff}]/u;

  const el = (tag, cls, text) => {
    const node = document.createElement(tag);
    if (cls) node.className = cls;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const add = (parent, ...children) => { parent.append(...children); return parent; };
  const num = (value, digits = 2) => {
    if (value === null || value === undefined || !Number.isFinite(value)) return "–";
    const size = Math.abs(value);
    if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(digits - 1).replace("-", "−").replace("e-", "e−");
    const fixed = size >= 100 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : size >= 1 ? value.toFixed(digits) : value.toPrecision(digits);
    return fixed.replace("-", "−");
  };
  const exact = (value) => num(value, 4);
  const signed = (value, digits = 2) => (value > 0 ? "+" : "") + num(value, digits);
  const prob = (p) => (p === null || p === undefined ? "–" : p >= 0.9995 ? "1.00" : p >= 0.01 ? p.toFixed(p >= 0.1 ? 2 : 3).slice(1) : p >= 5e-4 ? p.toFixed(3).slice(1) : p === 0 ? "0" : num(p, 1));
  const codePoint = (char) => "U+" + char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
  const quoted = (token) => {
    const text = [...token.text.slice(0, 60)].map((c) => (c === "\n" ? "⏎" : c === "\t" ? "→" : HIDDEN.test(c) ? codePoint(c) : c)).join("");
    return "`" + (text || "∅") + (token.text.length > 60 ? "…" : "") + "`";
  };
  const percentile99 = (values) => {
    const sizes = values.filter((v) => Number.isFinite(v)).sort((a, b) => a - b);
    return sizes.length ? sizes[Math.min(sizes.length - 1, Math.ceil(0.99 * sizes.length) - 1)] : 0;
  };

  /* One view with its scale: colours turn at `centre`; limit (the scale's end, counted from there), quiet(i),
     strength(i) in 0..1. A view whose range has ends is drawn on that range; the others on what their values need. */
  function lens(payload, name, scale) {
    const view = payload.views.find((candidate) => candidate.name === name);
    const values = view.values;
    const centre = view.centre || 0;
    const ends = (view.range || []).filter((end) => Number.isFinite(end) && end !== centre);
    const reach = view.signed && ends.length < 2 ? 0 : Math.max(0, ...ends.map((end) => Math.abs(end - centre)));
    const size = values.map((value) => (Number.isFinite(value) ? Math.abs(value - centre) : NaN));
    const shared = typeof payload.limit === "object" && payload.limit ? payload.limit[name]
      : name === (payload.limit_view || "raw") ? payload.limit : undefined;
    const limit = reach > 0 ? reach : shared > 0 ? shared : percentile99(size) || 1;
    const floor = view.unit === "nats" ? payload.noise_floor || 0 : 0;
    const quiet = (i) => !Number.isFinite(size[i]) || size[i] <= floor;
    const order = values.map((_, i) => i).filter((i) => !quiet(i)).sort((a, b) => size[b] - size[a] || a - b);
    const rank = new Map(order.map((index, place) => [index, 1 - place / order.length]));
    const knee = Math.max(floor, limit / 50);
    const strength = (i) => {
      const shown = Math.min(size[i], limit);
      if (scale === "rank") return rank.get(i) || 0;
      return scale === "asinh" ? Math.asinh(shown / knee) / Math.asinh(limit / knee) : shown / limit;
    };
    const kind = (i) => (quiet(i) ? "q" : !view.signed ? "m" : values[i] > centre ? "p" : "n");
    const clipped = size.filter((distance) => distance > limit * 1.0001).length;
    const own = reach > 0 ? "fixed" : shared > 0 ? "shared" : "attempt";
    return { view, values, centre, limit, floor, own, quiet, order, strength, kind, clipped };
  }
  const HUES = { p: "--hm-pos", n: "--hm-neg", m: "--hm-mag" };
  const colour = (look, i) => (look.kind(i) === "q" ? "var(--hm-quiet-bg)"
    : `color-mix(in srgb, var(${HUES[look.kind(i)]}) ${(look.strength(i) * 100).toFixed(1)}%, var(--hm-bg))`);

  /* A token's characters as nodes; returns the pieces split at newlines (a newline ends the piece it is in). */
  function pieces(token) {
    const out = [document.createDocumentFragment()];
    const cut = token.text.slice(0, LONGEST);
    let run = "";
    const flush = () => { if (run) { out.at(-1).append(run); run = ""; } };
    const mark = (cls, text, shown) => {
      flush();
      const node = el("span", cls, text);
      if (shown) node.dataset.mark = shown;
      out.at(-1).append(node);
    };
    for (const char of cut) {
      if (char === "\n") { mark("hm-nl", "", "⏎"); out.push(document.createDocumentFragment()); }
      else if (char === " ") mark("hm-ws", " ", "·");
      else if (char === "\t") mark("hm-ws", "\t", "→");
      else if (HIDDEN.test(char)) mark("hm-ctl", codePoint(char));
      else run += char;
    }
    flush();
    if (token.text.length > LONGEST) mark("hm-ctl", `… ${(token.text.length - LONGEST).toLocaleString("en")} more characters`);
    if (!token.text) mark("hm-ctl", token.special ? "∎" : "∅");
    if (out.length > 1 && !out.at(-1).hasChildNodes()) out.pop();
    return out;
  }

  function mount(element, payload, options) {
    const state = { payload, view: "", other: "", scale: "linear", cursor: 0, open: false, look: null, second: null };
    const uid = "hm" + Math.random().toString(36).slice(2, 9);
    const root = el("section", "hm");
    root.dataset.theme = (options && options.theme) || "auto";
    const title = el("h3", "hm-title");
    const views = el("select", "hm-view"), against = el("select", "hm-against"), place = el("input", "hm-goto");
    views.setAttribute("aria-label", "Colour by"); against.setAttribute("aria-label", "Second view, in the lower half");
    Object.assign(place, { type: "number", min: 1, value: 1 }); place.setAttribute("aria-label", "Token number");
    const scales = el("span", "hm-scale"); scales.setAttribute("role", "group"); scales.setAttribute("aria-label", "Scale");
    for (const name of SCALES) { const button = el("button", "", name); button.type = "button"; button.dataset.scale = name; scales.append(button); }
    const help = el("button", "hm-help", "?"); help.type = "button"; help.setAttribute("aria-label", "Keys");
    const bar = add(el("div", "hm-bar"), add(el("label", "", "view"), views), add(el("label", "", "against"), against), scales,
      add(el("label", "", "token"), place), help);
    const legend = el("div", "hm-legend"), how = el("p", "hm-how"), body = el("div", "hm-body");
    const code = el("div", "hm-code"), panel = el("aside", "hm-panel"), summary = el("p", "hm-summary");
    Object.assign(code, { tabIndex: 0 });
    code.setAttribute("role", "listbox"); code.setAttribute("aria-label", "Tokens of the attempt; press ? for keys");
    panel.hidden = true; panel.setAttribute("aria-label", "Token");
    const live = el("p", "hm-sr hm-live"), tip = el("div", "hm-tip"), keys = el("div", "hm-keys");
    live.setAttribute("aria-live", "polite"); tip.hidden = true; keys.hidden = true; tip.setAttribute("role", "tooltip");
    const list = el("dl");
    for (const [key, what] of KEYS) add(list, el("dt", "", key), el("dd", "", what));
    keys.append(list);
    add(root, title, bar, legend, how, add(body, code, panel), summary, keys, live, tip);
    element.replaceChildren(root);
    let spans = []; // per token, its pieces

    const token = (i) => state.payload.tokens[i];
    const count = () => state.payload.tokens.length;

    function drawTokens() {
      code.replaceChildren();
      code.classList.toggle("hm-long", count() > 400);
      spans = [];
      let source = null, lines = 0;
      const newLine = () => {
        lines += 1;
        source = el("span", "hm-src");
        const row = add(el("div", "hm-row"), el("span", "hm-no", String(lines)), source);
        row.setAttribute("role", "presentation"); row.firstChild.setAttribute("aria-hidden", "true");
        code.append(row);
      };
      if (!count()) { code.append(el("p", "hm-empty", "This attempt has no tokens.")); return; }
      newLine();
      let ended = false;
      state.payload.tokens.forEach((entry, i) => {
        spans.push(pieces(entry).map((content, part) => {
          if (part > 0 || ended) newLine();
          ended = false;
          const span = add(el("span", "hm-t"), content);
          span.dataset.i = i;
          if (part === 0) { span.id = `${uid}-${i}`; span.setAttribute("role", "option"); span.setAttribute("aria-selected", "false"); }
          source.append(span);
          return span;
        }));
        ended = entry.text.slice(0, LONGEST).endsWith("\n");
      });
    }

    function paint() {
      const look = (state.look = lens(state.payload, state.view, state.scale));
      const second = (state.second = state.other ? lens(state.payload, state.other, state.scale) : null);
      spans.forEach((parts, i) => {
        const kind = look.kind(i);
        const differs = second && kind !== "q" && second.kind(i) !== "q" && kind !== second.kind(i) &&
          Math.min(look.strength(i), second.strength(i)) >= 0.05;
        for (const span of parts) {
          span.className = `hm-t hm-${kind}${second ? " hm-two" : ""}${differs ? " hm-differs" : ""}` +
            (state.cursor === i ? " hm-cursor" : "") + (state.open && state.cursor === i ? " hm-chosen" : "");
          span.style.setProperty("--w", `${(look.strength(i) * 100).toFixed(1)}%`);
          if (second) { span.style.setProperty("--c1", colour(look, i)); span.style.setProperty("--c2", colour(second, i)); }
        }
        if (parts[0]) parts[0].setAttribute("aria-label", `${i + 1}: ${quoted(token(i))} ${valueText(look, i)}`);
      });
      drawLegend(look, second);
      how.textContent = look.view.how || "";
    }

    const plus = (look, value) => (look.view.signed && look.centre === 0 && value > 0 ? "+" : "");
    const valueText = (look, i, show = num) => plus(look, look.values[i]) + show(look.values[i]) +
      (look.view.unit ? " " + look.view.unit : "") + (look.quiet(i) && look.floor ? ", below the noise floor" : "");

    function drawLegend(look, second) {
      legend.replaceChildren();
      const ramps = [[look, second ? "above: " : ""]].concat(second ? [[second, "below: "]] : []);
      for (const [shown, where] of ramps) {
        const strip = el("i"); strip.dataset.kind = shown.view.signed ? "signed" : "unsigned";
        const high = shown.centre + shown.limit, low = shown.view.signed ? shown.centre - shown.limit : shown.centre;
        add(legend, add(el("span", "hm-ramp"), where + (low === 0 ? "0" : num(low)), strip,
          plus(shown, high) + num(high) + (shown.view.unit ? " " + shown.view.unit : "")));
      }
      const parts = [{ fixed: "the view's whole range", shared: "one scale for all attempts shown", attempt: "scale of this attempt" }[look.own]];
      parts[0] += look.clipped ? `, ${look.clipped} ${look.clipped === 1 ? "token" : "tokens"} clipped at the 99th percentile` : "";
      if (state.scale === "rank") parts.push("colour by rank, not by size");
      legend.append(el("span", "", parts.join(" · ")));
      const sides = look.centre === 0 ? "solid line +, dashed −" : `solid line above ${num(look.centre)}, dashed below`;
      if (look.view.signed) legend.append(el("span", "", sides));
      if (look.floor) { const key = el("span", "hm-key-quiet", `grey: noise, below ${num(look.floor)}`); legend.append(key); }
      if (second) legend.append(el("span", "", "boxed: the two disagree in sign, both above 5 % of their scales"));
    }

    function numbersOf(i) {
      const list = el("dl", "hm-nums");
      const row = (name, text) => add(list, el("dt", "", name), el("dd", "", text));
      row(state.look.view.title, valueText(state.look, i, exact));
      if (state.second) row(state.second.view.title, valueText(state.second, i, exact));
      for (const series of state.payload.numbers || []) row(series.name, exact(series.values[i]) + (series.unit ? " " + series.unit : ""));
      return list;
    }

    function showTip(i, span) {
      tip.replaceChildren(el("span", "hm-tip-tok", quoted(token(i))), el("span", "", `token ${i + 1} of ${count()}, id ${token(i).id}`), numbersOf(i));
      tip.hidden = false;
      // "fixed" is relative to the nearest container with containment, so measure where the corner really is.
      tip.style.transform = "none";
      const corner = tip.getBoundingClientRect(), box = span.getClientRects()[0] || span.getBoundingClientRect();
      const x = Math.max(8, Math.min(box.left, window.innerWidth - corner.width - 8));
      const below = box.bottom + 8 + corner.height < window.innerHeight;
      const y = below ? box.bottom + 8 : Math.max(8, box.top - corner.height - 8);
      tip.style.transform = `translate(${x - corner.left}px, ${y - corner.top}px)`;
    }

    function drawPanel() {
      const i = state.cursor;
      panel.hidden = !state.open; body.classList.toggle("hm-open", state.open);
      if (!state.open) return;
      const close = el("button", "hm-close", "×"); close.type = "button"; close.setAttribute("aria-label", "Close");
      close.addEventListener("click", () => { setOpen(false); code.focus(); });
      const big = add(el("p", "hm-big", signedOf(i)), el("small", "", " " + (state.look.view.unit || "") + " · " + state.look.view.title));
      panel.replaceChildren(add(el("div", "hm-panel-head", `token ${i + 1} of ${count()} · id ${token(i).id}`), close),
        el("p", "hm-panel-tok", quoted(token(i))), big);
      const top = (state.payload.top || [])[i];
      if (top && top.length) panel.append(alternatives(top, token(i).id));
      const formula = formulaOf(i);
      if (formula) panel.append(el("div", "hm-formula", formula));
      panel.append(numbersOf(i));
    }
    const signedOf = (i) => plus(state.look, state.look.values[i]) + num(state.look.values[i]);

    function alternatives(top, chosen) {
      const box = el("div", "hm-alts");
      const key = el("span", "hm-alts-head hm-alts-key", "next token");
      for (const [name, shade] of [["student", "--hm-student"], ["teacher", "--hm-teacher"]]) {
        const patch = el("b"); patch.style.background = `var(${shade})`; add(key, patch, name);
      }
      add(box, key, el("span", "hm-alts-head", "prob."));
      const shown = [...top].sort((a, b) => Math.max(b.student, b.teacher) - Math.max(a.student, a.teacher));
      const kept = shown.filter((entry, place) => place < 8 || entry.id === chosen);
      for (const entry of kept) {
        const name = add(el("div", "hm-alt-tok", quoted(entry)), entry.id === chosen ? el("em", "", "sampled") : "");
        const bars = [["hm-s", entry.student], ["hm-q", entry.teacher]].map(([cls, p]) => {
          const strip = el("i", cls); strip.style.width = `${(100 * (p || 0)).toFixed(1)}%`; return strip;
        });
        add(box, add(el("div", "hm-alt"), name, ...bars), add(el("div", "hm-alt-num"), prob(entry.student), el("br"), prob(entry.teacher)));
      }
      return box;
    }

    function formulaOf(i) {
      const view = state.look.view;
      if (view.formulas && view.formulas[i]) return view.formulas[i];
      const of = (name) => ((state.payload.numbers || []).find((series) => series.name === name) || { values: [] }).values[i];
      const student = of("student"), teacher = of("teacher"), kl = of("kl");
      const plain = view.formula ? `${view.formula} = ${signedOf(i)}${view.unit ? " " + view.unit : ""}` : "";
      const raw = `log ${prob(Math.exp(teacher))} − log ${prob(Math.exp(student))} = ${num(teacher)} − (${num(student)})`;
      if (student === undefined || teacher === undefined) return plain;
      if (view.name === "raw") return `A = log q − log π = ${raw} = ${signed(view.values[i])} nats`;
      if (view.name === "centred" && kl !== undefined) return `A + KL = ${raw} + ${num(kl)} = ${signed(view.values[i])} nats`;
      if (view.name === "predicted") return `push = −∂L/∂z = ${signed(view.values[i])}`;
      if (view.name === "realised") return `Δ log π = log π after − log π before = ${signed(view.values[i])} nats`;
      return plain;
    }

    function move(i, speak = true) {
      if (!count()) return;
      const before = spans[state.cursor] || [];
      for (const span of before) span.classList.remove("hm-cursor", "hm-chosen");
      if (before[0]) before[0].setAttribute("aria-selected", "false");
      state.cursor = Math.max(0, Math.min(count() - 1, i));
      for (const span of spans[state.cursor]) { span.classList.add("hm-cursor"); span.classList.toggle("hm-chosen", state.open); }
      const first = spans[state.cursor][0];
      first.setAttribute("aria-selected", "true");
      code.setAttribute("aria-activedescendant", first.id);
      place.value = state.cursor + 1;
      if (state.open) drawPanel();
      if (!speak) return;
      const rank = state.look.order.indexOf(state.cursor);
      live.textContent = `Token ${state.cursor + 1}, ${quoted(token(state.cursor))}, ${state.look.view.title} ` +
        valueText(state.look, state.cursor) + (rank >= 0 ? `, number ${rank + 1} by size` : "");
      first.scrollIntoView({ block: "nearest", inline: "nearest" });
      element.dispatchEvent(new CustomEvent("hm-select", { bubbles: true, detail: { index: state.cursor } }));
    }
    function setOpen(open) { state.open = open && count() > 0; tip.hidden = true; drawPanel(); move(state.cursor, false); }

    function vertical(step) { // the nearest token on the next line, as it is wrapped on this screen
      const here = spans[state.cursor][0].getClientRects()[0];
      let best = -1, cost = Infinity;
      spans.forEach((parts, i) => parts.forEach((span) => {
        for (const box of span.getClientRects()) {
          const down = (box.top - here.top) * step;
          if (down < here.height / 2 || i === state.cursor) continue;
          const distance = Math.round(down / 8) * 1e4 + Math.abs(box.left - here.left);
          if (distance < cost) { cost = distance; best = i; }
        }
      }));
      if (best >= 0) move(best);
    }
    function extreme(step) {
      const order = state.look.order;
      if (!order.length) { live.textContent = "No token is above the noise floor."; return; }
      const at = order.indexOf(state.cursor), fresh = !extreme.used;
      extreme.used = true;
      move(order[fresh || at < 0 ? (step > 0 ? 0 : order.length - 1) : (at + step + order.length) % order.length]);
    }

    code.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const act = { ArrowLeft: () => move(state.cursor - 1), ArrowRight: () => move(state.cursor + 1), ArrowUp: () => vertical(-1),
        ArrowDown: () => vertical(1), Home: () => move(0), End: () => move(count() - 1), n: () => extreme(1), p: () => extreme(-1),
        Enter: () => setOpen(true), Escape: () => { keys.hidden = true; setOpen(false); }, "?": () => { keys.hidden = !keys.hidden; } }[event.key];
      if (!act) return;
      event.preventDefault(); event.stopPropagation();
      if (count() || event.key === "?") act();
    });
    panel.addEventListener("keydown", (event) => { if (event.key === "Escape") { setOpen(false); code.focus(); } });
    const under = (event) => event.target.closest && event.target.closest(".hm-t");
    code.addEventListener("pointerover", (event) => { const span = under(event); if (span && event.pointerType !== "touch") showTip(+span.dataset.i, span); });
    code.addEventListener("pointerleave", () => { tip.hidden = true; });
    code.addEventListener("pointerout", (event) => { if (!under(event)) tip.hidden = true; });
    code.addEventListener("click", (event) => { const span = under(event); if (span) { move(+span.dataset.i); setOpen(true); } });
    window.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
    views.addEventListener("change", () => setView(views.value));
    against.addEventListener("change", () => { state.other = against.value; paint(); drawPanel(); });
    place.addEventListener("change", () => { if (count()) { move((+place.value || 1) - 1); setOpen(true); } });
    help.addEventListener("click", () => { keys.hidden = !keys.hidden; });
    scales.addEventListener("click", (event) => {
      if (!event.target.dataset.scale) return;
      state.scale = event.target.dataset.scale; pressed(); paint();
    });
    const pressed = () => scales.querySelectorAll("button").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.scale === state.scale)));

    function setView(name) {
      if (!state.payload.views.some((view) => view.name === name)) return;
      state.view = name; views.value = name; extreme.used = false;
      paint(); drawPanel();
      live.textContent = `Coloured by ${state.look.view.title}.`;
      element.dispatchEvent(new CustomEvent("hm-view", { bubbles: true, detail: { view: name } }));
    }
    function fill(select, first) {
      select.replaceChildren(...first, ...state.payload.views.map((view) => { const item = el("option", "", view.title); item.value = view.name; return item; }));
    }
    function update(next, first) {
      const same = !first && next.tokens.length === count() && next.tokens.every((entry, i) => entry.id === token(i).id);
      state.payload = next;
      title.textContent = next.title || "";
      const none = el("option", "", "nothing"); none.value = "";
      fill(views, []); fill(against, [none]);
      const known = (name) => next.views.some((view) => view.name === name);
      const asked = next.view_key !== undefined && next.view_key !== state.viewKey; // the host may ask for a view, once
      state.viewKey = next.view_key;
      if (!known(state.view) || first || asked) state.view = known(next.view) ? next.view : next.views.length ? next.views[0].name : "";
      if (asked || first) state.other = known(next.against) ? next.against : known(state.other) ? state.other : "";
      if (!known(state.other)) state.other = "";
      views.value = state.view; against.value = state.other;
      place.max = String(count());
      if (!same) { state.cursor = 0; state.open = false; extreme.used = false; drawTokens(); }
      summary.textContent = next.summary || "";
      if (!next.views.length || !count()) { legend.replaceChildren(); how.textContent = ""; panel.hidden = true; bar.hidden = true; return; }
      bar.hidden = false; pressed(); paint(); drawPanel(); move(state.cursor, false);
    }
    update(payload, true);
    return { update: (next) => update(next, false), select: (i) => { move(i); setOpen(true); }, setView };
  }

  function mountAll() {
    for (const host of document.querySelectorAll(".hm-mount")) {
      const data = host.querySelector('script[type="application/json"]');
      if (data) mount(host, JSON.parse(data.textContent), { theme: host.dataset.theme });
    }
  }
  window.SDPOHeatmap = { mount, mountAll };
})();
