/* The parts of the page beside the heatmap. Every part gets its data as JSON text in `props.value`, its template is
   constant, and text enters the DOM by textContent only. A part ignores data older than what it shows (`seq`). */
(function () {
  "use strict";
  const { el, add } = window.SDPOHeatmap.kit;
  const plain = (text) => text.replaceAll("-", "−").replace(/^(−?)0\./, "$1.");
  const two = (value) => { // two significant digits
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    return plain(value === 0 ? "0" : size >= 10 ? value.toFixed(0) : size >= 0.001 ? value.toPrecision(2) : value.toExponential(1));
  };
  const short = (value) => plain(String(Number(value.toPrecision(2)))); // two at most: 1, .5, .56
  const percent = (value) => `${Math.round(100 * value)} %`;
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  const time = (seconds) => (seconds < 90 ? `${seconds} s` : seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`);
  const heading = (text) => el("h2", "wb-h", text);
  const written = (tag, cls, text) => add(el(tag, cls), ...window.SDPOHeatmap.kit.withMarks(text)); // text of people, models and files
  const button = (cls, text, press) => {
    const node = el("button", cls, text);
    node.type = "button";
    node.addEventListener("click", press);
    return node;
  };

  /* A term with its one-line definition from the glossary, shown on demand beside it (Escape or a click elsewhere closes). */
  function term(name, shown) {
    const line = window.SDPOTerms[name];
    if (!line) return el("span", "", shown || name);
    const word = button("wb-term", shown || name, () => {
      let tip = document.getElementById("wb-tip");
      if (!tip) { tip = el("div"); tip.id = "wb-tip"; tip.setAttribute("popover", "auto"); tip.setAttribute("role", "status"); document.body.append(tip); }
      tip.replaceChildren(line, " ", el("span", "wb-quiet", "Glossary: docs/glossary.md"));
      const box = word.getBoundingClientRect();
      tip.style.left = `${Math.max(8, Math.min(box.left, window.innerWidth - 340))}px`;
      tip.style.top = `${box.bottom + 6}px`;
      tip.showPopover();
    });
    word.setAttribute("aria-haspopup", "true");
    return word;
  }

  /* An exact prompt with its token ids, folded. */
  function exactly(title, prompt, note) {
    const box = el("details", "wb-details"), tokens = el("details", "wb-details");
    add(box, el("summary", "", title), ...(note ? [el("p", "wb-quiet", note)] : []));
    add(tokens, el("summary", "", "token ids"), el("pre", "wb-pre", prompt.ids.join(" ")));
    return add(box, written("pre", "wb-pre", prompt.text), tokens);
  }

  /* Replaces the nodes of a part; opened details stay open, even if for a while there are none. */
  function redraw(root, ...nodes) {
    const before = root.querySelector("details");
    if (before) root.wasOpen = before.open;
    root.replaceChildren(...nodes);
    const after = root.querySelector("details");
    if (after) after.open = Boolean(root.wasOpen);
  }

  const parts = {
    task(root, data) {
      const open = root.querySelector("details[open]") !== null;
      if (data.empty) { root.replaceChildren(el("p", "wb-empty", data.empty)); return; }
      const judge = el("p", "wb-quiet", `judged by ${data.judge}`);
      judge.title = data.model || "";
      root.replaceChildren(...(data.system ? [written("p", "wb-system", data.system)] : []), written("p", "wb-prompt", data.prompt), judge);
      if (data.exact) {
        const box = exactly(`exact prompt (${plural(data.exact.ids.length, "token")})`, data.exact);
        box.open = open;
        root.append(box);
      }
      if (data.advice && data.advice.closest) root.append(window.SDPOPage.advised(data.advice));
    },
    cards(root, data, trigger) {
      const focused = root.contains(document.activeElement) ? document.activeElement.dataset.id : null;
      if (!root.order) { // created once: it may be open while the cards are drawn again
        root.order = orderOf(() => parts.cards(root, root.data, trigger));
        root.cards = el("ol", "wb-cards-list");
        root.empty = el("p", "wb-empty");
        root.replaceChildren(add(el("div", "wb-cards-head"), heading("Attempts"), root.order), root.empty, root.cards);
      }
      root.data = data;
      root.empty.textContent = data.empty || "";
      root.order.hidden = data.live || data.rows.length < 2;
      const rows = data.live ? data.rows : [...data.rows].sort(ORDERS[root.order.value]);
      root.cards.replaceChildren(...rows.map((row) => (data.live ? liveCard(row) : card(row, row.id === data.chosen, trigger))));
      if (focused) { const again = root.querySelector(`[data-id="${CSS.escape(focused)}"]`); if (again) again.focus(); }
    },
    teacher(root, data) {
      if (data.empty) { redraw(root); return; }
      redraw(root, exactly(`Teacher prompt: exactly what the self-teacher reads (${plural(data.ids.length, "token")})`, data,
        data.shortened ? "The solution or the feedback was shortened to fit the model's context." : ""));
    },
    heat(root, data, trigger) {
      // Marking by keyboard is a series of events: only the last is sent to the server.
      if (!root.listens) root.addEventListener("hm-span", (event) => {
        clearTimeout(root.spoken);
        root.spoken = setTimeout(() => trigger("input", event.detail), 150);
      });
      root.listens = true;
      if (data.empty !== undefined) {
        root.heat = null;
        const shown = data.empty ? [el("p", "wb-empty wb-empty-large", data.empty)] : [];
        if (data.title) shown.unshift(el("h3", "hm-title", data.title));
        if (data.text) shown.splice(data.title ? 1 : 0, 0, written("pre", "wb-pre wb-plain", data.text));
        root.replaceChildren(...shown);
      } else if (root.heat) root.heat.update(data);
      else mountHeat(root, data, trigger);
    },
    token(root, data, trigger) {
      drawerTrigger = trigger;
      const heat = document.querySelector(".wb-heat");
      if (heat && heat.heat) heat.heat.supply(data);
    },
  };

  /* The heatmap, connected to the page: a token's distributions, another attempt, interventions. */
  let drawerTrigger = null;
  function mountHeat(root, data, trigger) {
    root.heat = window.SDPOHeatmap.mount(root, data, { theme: "host", folded: true, actions: data.continuations ? { n: data.continuations } : null });
    if (root.heard) return;
    root.heard = true;
    let waiting = 0; // arrows that are held down open many tokens: only the last one is requested
    root.addEventListener("hm-open", (event) => { clearTimeout(waiting); waiting = setTimeout(() => trigger("select", { verb: "open", ...event.detail }), 120); });
    root.addEventListener("hm-attempt", (event) => trigger("select", { verb: "attempt", ...event.detail }));
    for (const verb of ["test", "force"]) root.addEventListener(`hm-${verb}`, (event) => drawerTrigger("select", { verb, ...event.detail }));
  }

  /* Orders of the cards; each card keeps its number. */
  const credited = (row) => row.strip.reduce((sum, value) => sum + Math.abs(value), 0);
  const ORDERS = { "as sampled": () => 0, "lowest reward": (a, b) => a.reward - b.reward, "most credit": (a, b) => credited(b) - credited(a),
    "longest": (a, b) => b.text.length - a.text.length };
  function orderOf(changed) {
    const select = el("select", "wb-order");
    select.setAttribute("aria-label", "Order of the cards");
    for (const name of Object.keys(ORDERS)) select.append(el("option", "", name));
    select.addEventListener("change", changed);
    return select;
  }
  function liveCard(row) {
    return add(el("li", "wb-card wb-live"), el("span", "wb-number", String(row.number)), written("pre", "wb-stream", row.text || " "));
  }
  function card(row, chosen, trigger) {
    const button = el("button", "wb-card-button");
    button.type = "button"; button.dataset.id = row.id; button.setAttribute("aria-pressed", String(chosen));
    const verdict = el("span", row.passed ? "wb-pass" : "wb-fail", row.passed ? "✓ passed" : "✗ failed");
    const line = add(el("span", "wb-card-line"), el("span", "wb-number", String(row.number)), verdict, el("span", "wb-reward", `reward ${short(row.reward)}`));
    if (row.read_as) line.append(written("span", "wb-quiet wb-read", `read as: ${row.read_as.slice(0, 40)}`));
    if (!row.finished) line.append(el("span", "wb-quiet", "cut"));
    button.append(line);
    if (row.strip.length) {
      const strip = el("span", "wb-strip"); strip.setAttribute("aria-hidden", "true");
      for (const value of row.strip) {
        const tick = el("i");
        if (Math.abs(value) > row.floor) tick.style.background = `color-mix(in srgb, var(--wb-${value > 0 ? "pos" : "neg"}) ${Math.round(100 * Math.abs(value))}%, var(--wb-strip))`;
        strip.append(tick);
      }
      button.append(strip);
    }
    const note = row.feedback ? row.feedback.split("\n")[0].slice(0, 90) : row.used === false ? row.why : "no feedback";
    button.append(written("span", "wb-said", row.forced ? `${row.forced} · ${note}` : note));
    button.addEventListener("click", () => trigger("select", { id: row.id }));
    return add(el("li", "wb-card"), button);
  }

  function attach(kind, element, props, watch, trigger) {
    const root = element.querySelector(".wb-part");
    let shown = -1;
    const draw = () => {
      if (!props.value) return;
      let data;
      try { data = JSON.parse(props.value); } catch (problem) { console.error("unreadable data for", kind, problem); return; }
      if (data.seq < shown) return;
      shown = data.seq;
      parts[kind](root, data, trigger);
    };
    watch("value", draw);
    draw();
  }
  window.SDPOPage = { attach, parts, kit: { el, add, plain, two, percent, plural, heading, written, term, button, time, redraw } };
})();
