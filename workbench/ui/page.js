/* The parts of the page beside the heatmap. Every part gets its data as JSON text in `props.value`, its template is
   constant, and text enters the DOM by textContent only. A part ignores data older than what it shows (`seq`). */
(function () {
  "use strict";
  const el = (tag, cls, text) => {
    const node = document.createElement(tag);
    if (cls) node.className = cls;
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const add = (parent, ...children) => { parent.append(...children); return parent; };
  const plain = (text) => text.replaceAll("-", "−").replace(/^(−?)0\./, "$1.");
  const two = (value) => { // two significant digits
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    return plain(value === 0 ? "0" : size >= 10 ? value.toFixed(0) : size >= 0.001 ? value.toPrecision(2) : value.toExponential(1));
  };
  const percent = (value) => `${Math.round(100 * value)} %`;
  const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
  const heading = (text) => el("h2", "wb-h", text);

  const parts = {
    header(root, data) {
      const facts = [`run ${data.run}`].concat(data.facts).join(" · ");
      const words = { loading: "loading the model", ready: "idle", failed: "not running", closed: "closed" };
      const state = add(el("span", "wb-state"), el("i"), data.state === "busy" ? `${data.job}${data.seconds > 1 ? `, ${data.seconds} s` : ""}` : words[data.state]);
      state.dataset.state = data.state;
      state.setAttribute("role", "status");
      if (data.waiting > 0) state.append(` · ${data.waiting} waiting`);
      const theme = el("button", "wb-theme", "◐");
      theme.type = "button"; theme.setAttribute("aria-label", "Light or dark");
      theme.addEventListener("click", () => { document.body.classList.toggle("dark"); });
      root.replaceChildren(el("h1", "wb-brand", "SDPO Workbench"), el("span", "wb-facts", facts), state, theme);
      if (data.problem) { const note = el("p", "wb-problem", data.problem); note.setAttribute("role", "alert"); root.append(note); }
    },
    task(root, data) {
      if (data.empty) { root.replaceChildren(el("p", "wb-empty", data.empty)); return; }
      root.replaceChildren(...(data.system ? [el("p", "wb-system", data.system)] : []), el("p", "wb-prompt", data.prompt),
        el("p", "wb-quiet", `judged by ${data.judge}`));
    },
    cards(root, data, trigger) {
      const focused = root.contains(document.activeElement) ? document.activeElement.dataset.id : null;
      root.replaceChildren(heading("Attempts"));
      if (data.empty) { root.append(el("p", "wb-empty", data.empty)); return; }
      const list = el("ol", "wb-cards-list");
      for (const row of data.rows) list.append(data.live ? liveCard(row) : card(row, row.id === data.chosen, trigger));
      root.append(list);
      if (focused) { const again = root.querySelector(`[data-id="${CSS.escape(focused)}"]`); if (again) again.focus(); }
    },
    teacher(root, data) {
      if (data.empty) { root.replaceChildren(); return; }
      const box = el("details", "wb-details"), tokens = el("details", "wb-details");
      add(box, el("summary", "", `Teacher prompt: exactly what the self-teacher reads (${plural(data.ids.length, "token")})`));
      if (data.shortened) box.append(el("p", "wb-quiet", "The solution or the feedback was shortened to fit the model's context."));
      add(tokens, el("summary", "", "token ids"), el("pre", "wb-pre", data.ids.join(" ")));
      add(box, el("pre", "wb-pre", data.text), tokens);
      const open = root.querySelector("details[open]");
      box.open = Boolean(open);
      root.replaceChildren(box);
    },
    update(root, data) {
      root.replaceChildren(heading("Update"));
      if (data.plan.empty) root.append(el("p", "wb-empty", data.plan.empty));
      else root.append(planned(data.plan));
      if (data.outcome) root.append(outcome(data.outcome));
    },
    timeline(root, data, trigger) {
      root.replaceChildren(heading("Timeline"));
      if (data.empty) root.append(el("p", "wb-empty", data.empty));
      if (data.nodes.length > 1) root.append(tree(data.nodes, trigger));
    },
    heat(root, data) {
      if (data.empty !== undefined) {
        root.heat = null;
        const shown = data.empty ? [el("p", "wb-empty wb-empty-large", data.empty)] : [];
        if (data.title) shown.unshift(el("h3", "hm-title", data.title));
        if (data.text) shown.splice(data.title ? 1 : 0, 0, el("pre", "wb-pre wb-plain", data.text));
        root.replaceChildren(...shown);
      } else if (root.heat) root.heat.update(data);
      else root.heat = window.SDPOHeatmap.mount(root, data, { theme: "host" });
    },
  };

  function liveCard(row) {
    return add(el("li", "wb-card wb-live"), el("span", "wb-number", String(row.number)), el("pre", "wb-stream", row.text || " "));
  }
  function card(row, chosen, trigger) {
    const button = el("button", "wb-card-button");
    button.type = "button"; button.dataset.id = row.id; button.setAttribute("aria-pressed", String(chosen));
    const verdict = el("span", row.passed ? "wb-pass" : "wb-fail", row.passed ? "✓ passed" : "✗ failed");
    const line = add(el("span", "wb-card-line"), el("span", "wb-number", String(row.number)), verdict, el("span", "wb-reward", `reward ${plain(String(row.reward))}`));
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
    const said = row.feedback ? row.feedback.split("\n")[0].slice(0, 90) : row.used === false ? row.why : "no feedback";
    button.append(el("span", "wb-said", said));
    button.addEventListener("click", () => trigger("select", { id: row.id }));
    return add(el("li", "wb-card"), button);
  }

  function planned(plan) {
    const box = el("div", "wb-plan");
    const text = plan.used
      ? `${plan.used} of ${plural(plan.total, "attempt")} give signal: ${plural(plan.tokens, "token")} will be pushed, in ${plural(plan.steps, "step")} of ${plan.method.toUpperCase()} ` +
        `with the ${plan.teacher} teacher at learning rate ${plain(String(plan.learning_rate))}.${plan.seconds ? ` The last one took ${two(plan.seconds)} s.` : ""} It can be undone exactly.`
      : `None of the ${plural(plan.total, "attempt")} gives signal, so there is nothing to learn from. Give feedback on a failed one, or sample again.`;
    const why = add(el("details", "wb-details"), el("summary", "", plan.used < plan.total ? `why not the other ${plan.total - plan.used}` : "what each gives"));
    const list = el("ul", "wb-ledger");
    for (const row of plan.rows) list.append(el("li", row.used ? "" : "wb-quiet", `${row.number}: ${row.used ? "uses " : ""}${row.reason}`));
    return add(box, el("p", "wb-lead", text), add(why, list));
  }
  function outcome(after) {
    const numbers = [["loss", after.loss, "nats per token", two], ["realised agrees", [after.agreement], "of tokens", percent],
      ["rank correlation", [after.rank_correlation], "", two], ["KL to before", [after.kl], "nats per token", two], ["entropy", after.entropy, "nats per token", two],
      ["gradient norm", [after.grad_norm], "", two]];
    if (after.held_out) numbers.splice(1, 0, ["held-out", after.held_out, "pass rate", (v) => (v === null ? "–" : percent(v))]);
    if (after.teacher_error !== null) numbers.push(["teacher's average", [after.teacher_error], "off by at most, relative", two]);
    const list = el("dl", "wb-numbers");
    for (const [name, values, unit, show] of numbers) {
      const value = el("dd", "", values.map(show).join(" → "));
      add(list, add(el("div"), el("dt", "", name), value, el("small", "", unit)));
    }
    return add(el("div", "wb-after"), el("p", "wb-quiet", `After the newest update of this attempt, ${after.update}`), list);
  }

  function tree(nodes, trigger) {
    const X = 74, Y = 46, R = 9;
    const box = el("div", "wb-tree"), svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const width = (Math.max(...nodes.map((node) => node.x)) + 1) * X, height = (Math.max(...nodes.map((node) => node.y)) + 1) * Y + 16;
    svg.setAttribute("width", width); svg.setAttribute("height", height); svg.setAttribute("aria-hidden", "true");
    const at = new Map(nodes.map((node) => [node.id, node]));
    const place = (node) => [node.x * X + 24, node.y * Y + 16];
    for (const node of nodes) {
      const parent = at.get(node.parent);
      if (!parent) continue;
      const [x1, y1] = place(parent), [x2, y2] = place(node), line = document.createElementNS("http://www.w3.org/2000/svg", "path");
      line.setAttribute("d", y1 === y2 ? `M${x1 + R} ${y1}H${x2 - R}` : `M${x1} ${y1 + R}V${y2 - 10}q0 10 10 10H${x2 - R}`);
      svg.append(line);
    }
    box.append(svg);
    for (const node of nodes) {
      const button = el("button", node.head ? "wb-node wb-head" : "wb-node"), [x, y] = place(node);
      button.type = "button"; button.style.left = `${x - 22}px`; button.style.top = `${y - R - 2}px`;
      const label = node.parent === null ? "start" : node.loss ? `${two(node.loss[0])} → ${two(node.loss[1])}` : node.id;
      button.setAttribute("aria-label", `${node.id}${node.head ? ", the head" : ", go there"}, loss ${label}`);
      button.title = `${node.id} · ${node.name}`;
      if (node.head) button.setAttribute("aria-current", "step");
      button.addEventListener("click", () => { if (!node.head) trigger("select", { id: node.id }); });
      box.append(add(button, el("i"), el("span", "", label)));
    }
    box.style.minHeight = `${height + 12}px`;
    return box;
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
  window.SDPOPage = { attach };
})();
