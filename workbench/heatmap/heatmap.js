/* The heatmap: SDPOHeatmap.mount(element, payload, {theme, actions, folded}) -> {update(payload), select(index), setView(name),
   supply(data)}. The payload is described in __init__.py; this file puts the parts together and owns what is selected. `folded`: the
   group's map is closed at first.

   The element dispatches, all with bubbles:
     hm-select {id, index}            the cursor moved             hm-view {view}      another view
     hm-open {id, index}              a token's drawer shows it: the host may supply({id, index, top, tests, busy})
     hm-span {id, start, end}         tokens were marked (end excluded); start === end: none are any more
     hm-attempt {id, index}           another attempt of the group is asked for, whose payload is not here
     hm-test, hm-force {id, index, token_id}   only with `actions`: {n: continuations of each side} */
const KEYS = [["← →", "previous, next token"], ["↑ ↓", "the token above, below"], ["Home End", "first, last token"],
  ["n p", "next, previous token by size of the value, also in folded reasoning"], ["Shift + arrows", "mark a span of tokens"],
  ["Enter", "open the token: both distributions, the formula; Tab goes into it"],
  ["[ ]", "previous, next attempt of the group"], ["r", "show, hide the reasoning"], ["t", "as text, as lines"], ["Escape", "close"], ["?", "this list"]];

function mount(element, payload, options) {
  const state = { payload, view: "", other: "", scale: "linear", cursor: 0, open: false, look: null, second: null, span: null,
    actions: (options && options.actions) || null, supplied: null, all: false, folded: true, layout: "" };
  const uid = "hm" + Math.random().toString(36).slice(2, 9);
  const tell = (name, detail) => element.dispatchEvent(new CustomEvent(name, { bubbles: true, detail }));
  const here = (more) => ({ id: state.payload.id, index: state.cursor, ...more });
  const token = (i) => state.payload.tokens[i];
  const count = () => state.payload.tokens.length;

  const root = el("section", "hm"), title = el("h3", "hm-title");
  root.dataset.theme = (options && options.theme) || "auto";
  const views = el("select", "hm-view"), against = el("select", "hm-against"), place = el("input", "hm-goto");
  views.setAttribute("aria-label", "Colour by"); against.setAttribute("aria-label", "Second view, in the lower half");
  Object.assign(place, { type: "number", min: 1, value: 1 }); place.setAttribute("aria-label", "Token number");
  const choices = (label, key, names) => { // a group of buttons, of which one is pressed
    const group = el("span", "hm-scale");
    group.setAttribute("role", "group"); group.setAttribute("aria-label", label);
    for (const name of names) { const one = button("", name); one.dataset[key] = name; group.append(one); }
    return group;
  };
  const scales = choices("Scale", "scale", SCALES), layouts = choices("Layout", "layout", ["text", "lines"]), help = button("hm-help", "?", "Keys");
  const walk = el("span", "hm-walk"), walked = el("span", "hm-walked"), back = button("", "‹", "Previous token by size"), on = button("", "›", "Next token by size");
  add(walk, "strongest", back, walked, on);
  const bar = add(el("div", "hm-bar"), add(el("label"), "view", views), add(el("label"), "against", against), scales, layouts, walk, add(el("label"), "token", place), help);
  const legend = el("div", "hm-legend"), how = el("p", "hm-how"), body = el("div", "hm-body"), main = el("div", "hm-main");
  const area = codeArea(uid), code = area.node, summary = el("p", "hm-summary"), cumulative = el("div");
  const fold = button("hm-fold", ""); // outside the list of tokens, which may hold nothing else that takes the focus
  fold.setAttribute("aria-controls", code.id);
  const live = el("p", "hm-sr hm-live"), tip = el("div", "hm-tip"), keys = el("div", "hm-keys"), keyList = el("dl");
  live.setAttribute("aria-live", "polite"); tip.hidden = true; keys.hidden = true; tip.setAttribute("role", "tooltip");
  for (const [key, what] of KEYS) add(keyList, el("dt", "", key), el("dd", "", what));
  keys.append(keyList);
  const drawer = tokenDrawer(uid, {
    close: () => { setOpen(false); code.focus(); },
    choose: () => drawer.draw(state),
    test: (id) => intervene("test", id),
    force: (id) => intervene("force", id),
  });
  const map = groupMap({
    pick: (row, index) => goTo(state.payload.group[row], index),
    point: (row, look, i, x, box) => showTip(state.payload.group[row], look, i, x, box, `attempt ${row + 1}, `),
    leave: () => { tip.hidden = true; },
  }, !(options && options.folded));
  add(root, title, bar, legend, how, map.node, add(body, add(main, fold, code, cumulative, summary), drawer.node), keys, live, tip);
  element.replaceChildren(root);

  function paint() {
    state.look = lens(state.payload, state.view, state.scale, state.payload.group);
    state.second = state.other ? lens(state.payload, state.other, state.scale, state.payload.group) : null;
    area.paint(state);
    map.draw(state, area.asText);
    drawLegend(legend, state.look, state.second, state.scale);
    how.textContent = state.look.view.how || "";
    drawWalk();
    drawer.draw(state);
  }

  /* Where the cursor is among the tokens by size: of those that hold most of the whole, and behind them of all above the noise. */
  function drawWalk() {
    const order = state.look.ordered(), leading = state.look.leading(), rank = order.indexOf(state.cursor);
    const of = rank < leading ? leading : order.length;
    walked.textContent = walking && rank >= 0 ? `${rank + 1} of ${of}` : counted(leading, "token");
    walked.title = rank < leading ? `${leading === 1 ? "one token holds" : `${leading} tokens hold`} ${100 * MOST} % of what all add up to` : `${of} tokens are above the noise floor`;
    back.disabled = on.disabled = !order.length;
  }

  /* The tooltip under (or above) a box on the screen. */
  function showTip(of, look, i, x, box, where) {
    const sums = of === state.payload ? area.sumsText(look, i) : "";
    const list = of === state.payload ? numberList(state, i) : add(el("dl", "hm-nums"), el("dt", "", look.view.title), el("dd", "", valueText(look, i, exact)));
    tip.replaceChildren(el("span", "hm-tip-tok", quoted(of.tokens[i].text)), el("span", "", `${where}token ${i + 1} of ${of.tokens.length}, id ${of.tokens[i].id}`), list, el("span", "", sums));
    tip.hidden = false;
    // "fixed" is relative to the nearest container with containment, so measure where the corner really is.
    tip.style.transform = "none";
    const corner = tip.getBoundingClientRect();
    const left = Math.max(8, Math.min(x, window.innerWidth - corner.width - 8));
    const below = box.bottom + 8 + corner.height < window.innerHeight;
    const top = below ? box.bottom + 8 : Math.max(8, box.top - corner.height - 8);
    tip.style.transform = `translate(${left - corner.left}px, ${top - corner.top}px)`;
  }

  /* The reasoning of an attempt: folded at first, as the answer alone was judged; a token in it that is visited unfolds it. */
  function setFolded(folded) {
    const count = area.thought.filter(Boolean).length;
    state.folded = folded;
    code.classList.toggle("hm-folded", folded && count > 0);
    fold.hidden = count === 0;
    fold.setAttribute("aria-expanded", String(!folded));
    fold.textContent = `${folded ? "▸" : "▾"} Reasoning, ${counted(count, "token")}: not judged`;
  }
  function move(i, { speak = true, marking = false } = {}) {
    if (!count()) return;
    const from = state.cursor, former = state.span;
    state.cursor = Math.max(0, Math.min(count() - 1, i));
    if (speak && state.folded && area.thought[state.cursor]) setFolded(false);
    if (marking) {
      const fixed = former ? (from === former[0] ? former[1] - 1 : former[0]) : from;
      state.span = [Math.min(fixed, state.cursor), Math.max(fixed, state.cursor) + 1];
    } else if (speak) state.span = null;
    area.mark(state);
    place.value = state.cursor + 1;
    body.classList.toggle("hm-open", state.open);
    drawWalk();
    drawer.draw(state);
    if (String(former) !== String(state.span)) tell("hm-span", { id: state.payload.id, start: state.span ? state.span[0] : 0, end: state.span ? state.span[1] : 0 });
    if (!speak) return;
    const rank = state.look.ordered().indexOf(state.cursor), sums = area.sumsText(state.look, state.cursor);
    live.textContent = `Token ${state.cursor + 1}, ${quoted(token(state.cursor).text)}, ${state.look.view.title} ` + valueText(state.look, state.cursor) +
      (rank >= 0 ? `, number ${rank + 1} of ${state.look.ordered().length} by size` : "") + (sums ? `; ${sums}` : "") + (state.span ? `; marked ${state.span[0] + 1} to ${state.span[1]}` : "");
    area.spans[state.cursor][0].scrollIntoView({ block: "nearest", inline: "nearest" });
    tell("hm-select", here());
    if (state.open) tell("hm-open", here());
  }
  function setOpen(open) {
    state.open = open && count() > 0;
    tip.hidden = true;
    move(state.cursor, { speak: false });
    if (state.open) tell("hm-open", here());
  }
  function goTo(one, index) { // another attempt of the group: at once where its payload is here, else the host is asked
    if (!one || one.id === state.payload.id) { if (index !== null) { move(index); setOpen(true); } return; }
    if (!one.numbers) { state.pending = { id: one.id, index }; tell("hm-attempt", { id: one.id, index }); return; }
    update({ ...one, group: state.payload.group });
    if (index !== null) { move(index); setOpen(true); }
  }
  function intervene(verb, id) { // busy at once; the host's next supply says what is true
    state.supplied = { ...state.supplied, busy: verb };
    drawer.draw(state);
    tell(`hm-${verb}`, here({ token_id: id }));
  }
  let walking = false; // by size: the first step goes to the strongest token, wherever the cursor is
  function extreme(step) {
    const order = state.look.ordered();
    if (!order.length) { live.textContent = "No token is above the noise floor."; return; }
    const at = order.indexOf(state.cursor), fresh = !walking;
    walking = true;
    move(order[fresh || at < 0 ? (step > 0 ? 0 : order.length - 1) : (at + step + order.length) % order.length]);
  }
  function neighbour(step) {
    const group = state.payload.group || [], at = group.findIndex((one) => one.id === state.payload.id);
    if (at >= 0 && group[at + step]) { goTo(group[at + step], null); live.textContent = `Attempt ${group[at + step].label || at + step + 1} of ${group.length}.`; }
  }

  code.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const onward = count() && area.fromRight(state.cursor) ? -1 : 1; // arrows point to where the text goes on
    const to = (i) => move(i, { marking: event.shiftKey && event.key.startsWith("Arrow") });
    const down = (step) => { if (state.folded && area.thought[state.cursor]) setFolded(false); const i = area.vertical(state.cursor, step); if (i >= 0) to(i); };
    const act = { ArrowLeft: () => to(state.cursor - onward), ArrowRight: () => to(state.cursor + onward), ArrowUp: () => down(-1), ArrowDown: () => down(1),
      Home: () => to(0), End: () => to(count() - 1), n: () => extreme(1), p: () => extreme(-1), "[": () => neighbour(-1), "]": () => neighbour(1),
      Enter: () => { if (area.thought[state.cursor]) setFolded(false); setOpen(true); },
      r: () => { if (!fold.hidden) setFolded(!state.folded); }, t: () => setLayout(area.asText ? "lines" : "text"), "?": () => { keys.hidden = !keys.hidden; },
      Escape: () => { keys.hidden = true; move(state.cursor); setOpen(false); } }[event.key];
    if (!act) return;
    event.preventDefault(); event.stopPropagation();
    if (count() || event.key === "?") act();
  });
  const point = (event) => {
    const i = event.pointerType === "touch" ? -1 : area.tokenAt(event);
    if (i < 0) return;
    const box = event.target.getClientRects()[0] || event.target.getBoundingClientRect();
    showTip(state.payload, state.look, i, box.left, box, "");
  };
  code.addEventListener("pointerover", point);
  code.addEventListener("pointermove", (event) => { if (event.target.closest(".hm-cluster")) point(event); }); // from stripe to stripe
  code.addEventListener("pointerleave", () => { tip.hidden = true; });
  code.addEventListener("pointerout", (event) => { if (area.tokenAt(event) < 0) tip.hidden = true; });
  code.addEventListener("click", (event) => {
    const i = area.tokenAt(event);
    if (i < 0) return;
    move(i, { marking: event.shiftKey });
    if (!event.shiftKey) setOpen(true);
  });
  code.addEventListener("copy", (event) => {
    const selected = document.getSelection(), text = selected.rangeCount ? area.copied(selected.getRangeAt(0)) : null;
    if (text === null) return;
    event.clipboardData.setData("text/plain", text);
    event.preventDefault();
  });
  window.addEventListener("scroll", () => { tip.hidden = true; }, { passive: true });
  views.addEventListener("change", () => setView(views.value));
  against.addEventListener("change", () => { state.other = against.value; paint(); });
  place.addEventListener("change", () => { if (count()) { move((+place.value || 1) - 1); setOpen(true); } });
  fold.addEventListener("click", () => setFolded(!state.folded));
  help.addEventListener("click", () => { keys.hidden = !keys.hidden; });
  scales.addEventListener("click", (event) => {
    if (!event.target.dataset.scale) return;
    state.scale = event.target.dataset.scale; pressed(); paint();
  });
  layouts.addEventListener("click", (event) => { if (event.target.dataset.layout) setLayout(event.target.dataset.layout); });
  back.addEventListener("click", () => extreme(-1));
  on.addEventListener("click", () => extreme(1));
  const pressed = () => {
    for (const one of scales.children) one.setAttribute("aria-pressed", String(one.dataset.scale === state.scale));
    for (const one of layouts.children) one.setAttribute("aria-pressed", String(one.dataset.layout === (area.asText ? "text" : "lines")));
  };

  function setLayout(layout) { // chosen by a person, and so kept for the attempts that follow
    state.layout = layout;
    area.draw(state.payload, layout);
    setFolded(state.folded);
    pressed(); paint();
    live.textContent = layout === "text" ? "Shown as text." : "Shown as lines.";
    if (count()) area.spans[state.cursor][0].scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  function setView(name) {
    if (!viewOf(state.payload, name)) return;
    state.view = name; views.value = name; walking = false;
    paint();
    live.textContent = `Coloured by ${state.look.view.title}.`;
    tell("hm-view", { view: name });
  }
  function fill(select, first) {
    select.replaceChildren(...first, ...state.payload.views.map((view) => { const item = el("option", "", view.title); item.value = view.name; return item; }));
  }
  function update(next, first) {
    const same = !first && next.id === state.payload.id && next.tokens.length === count() && next.tokens.every((entry, i) => entry.id === token(i).id);
    state.payload = next;
    title.replaceChildren(...withMarks(next.title || ""));
    const none = el("option", "", "nothing"); none.value = "";
    fill(views, []); fill(against, [none]);
    const known = (name) => Boolean(viewOf(next, name));
    const asked = next.view_key !== undefined && next.view_key !== state.viewKey; // the host may ask for a view, once
    state.viewKey = next.view_key;
    if (!known(state.view) || first || asked) state.view = known(next.view) ? next.view : next.views.length ? next.views[0].name : "";
    if (asked || first) state.other = known(next.against) ? next.against : known(state.other) ? state.other : "";
    if (!known(state.other)) state.other = "";
    views.value = state.view; against.value = state.other;
    place.max = String(count());
    if (!same) Object.assign(state, { cursor: 0, open: false, span: null });
    if (!same) {
      walking = false; area.draw(next, state.layout);
      state.cursor = Math.max(0, area.thought.indexOf(false)); // the first token that is seen
      setFolded(area.thought.includes(false)); // of an attempt that is nothing but reasoning, all is shown
    }
    summary.replaceChildren(...withMarks(next.summary || ""));
    cumulative.replaceChildren(...[cumulativeCurve(next)].filter(Boolean));
    bar.hidden = !next.views.length || !count();
    if (bar.hidden) { legend.replaceChildren(); how.textContent = ""; drawer.node.hidden = true; map.node.hidden = true; return; }
    pressed(); paint(); move(state.cursor, { speak: false });
    const pending = state.pending;
    if (pending && pending.id === next.id) {
      state.pending = null;
      if (pending.index !== null) { move(pending.index); setOpen(true); }
    }
  }
  update(payload, true);
  return {
    update: (next) => update(next, false),
    select: (i) => { move(i); setOpen(true); },
    setView,
    supply: (data) => { state.supplied = data; drawer.draw(state); },
  };
}

/* Every heatmap of a file: one attempt, or a group of which the first is shown. */
function mountAll() {
  for (const host of document.querySelectorAll(".hm-mount")) {
    const data = host.querySelector('script[type="application/json"]');
    if (!data) continue;
    const attempts = JSON.parse(data.textContent);
    mount(host, attempts.length > 1 ? { ...attempts[0], group: attempts } : attempts[0], { theme: host.dataset.theme });
  }
}
window.SDPOHeatmap = { mount, mountAll, kit: { el, add, pieces, withMarks, quoted, num, lens, colour, valueText } };
