/* The panel of updates: the plan with its signal report, the numbers after a step, and the health strip. */
(function () {
  "use strict";
  const { el, add, plain, two, percent, plural, heading, term, button } = window.SDPOPage.kit;
  const SVG = "http://www.w3.org/2000/svg";

  window.SDPOPage.parts.update = (root, data) => {
    const open = root.querySelector("details[open]") !== null;
    root.replaceChildren(heading("Update"));
    if (data.plan.empty) root.append(el("p", "wb-empty", data.plan.empty));
    else root.append(planned(data.plan, open));
    if (data.outcome) root.append(outcome(data.outcome));
  };

  function planned(plan, open) {
    const box = el("div", "wb-plan");
    const text = plan.used
      ? `${plan.used} of ${plural(plan.total, "attempt")} ${plan.used === 1 ? "gives" : "give"} signal: ${plural(plan.tokens, "token")} will be pushed by ${plan.method.toUpperCase()} (${plan.divergence}) with the ${plan.teacher} teacher. ${strength(plan)} It can be undone exactly.`
      : `None of the ${plural(plan.total, "attempt")} gives signal, so there is nothing to learn from. Give feedback on a failed one, or sample again.`;
    box.append(el("p", "wb-lead", text));
    if (plan.out_of_reach) box.append(el("p", "wb-quiet", `In ${plan.out_of_reach} of them the teacher wants a token that this loss hardly reaches: the student gives it almost nothing. The signal report names it.`));
    if (plan.used) box.append(before(plan));
    return add(box, ledger(plan, open));
  }

  /* How far the update will go. */
  function strength(plan) {
    if (!plan.strength) return `It takes ${plural(plan.steps, "step")} at learning rate ${plain(String(plan.learning_rate))}.`;
    const [share, limit] = plan.strength;
    return `It closes up to ${percent(share)} of the gap to the teacher and moves the policy by at most ${two(limit)} nats per token.`;
  }

  /* The cost of the update and whether the teacher is better, before anything is done. */
  function before(plan) {
    const lift = plan.lift || {}, box = el("div");
    const unmeasured = lift.seconds ? `not measured; measuring takes at most ${two(lift.seconds)} s` : "not measured";
    const cost = plan.reads ? `reads ${plan.reads.toLocaleString("en-US")} tokens${plan.seconds ? `, about ${two(plan.seconds)} s` : ""}` : "counting …";
    box.append(add(el("p", "wb-facts-line"), term("teacher lift"), ` ${lift.sentence || unmeasured}`, el("span", "wb-dot", " · "), term("cost"), ` ${cost}`));
    if (lift.doubts && lift.doubts.length) {
      const why = el("div", lift.verdict === "not better" ? "wb-alarm" : "wb-quiet");
      box.append(add(why, ...lift.doubts.map((sentence) => el("p", "", sentence))));
    }
    return box;
  }

  function ledger(plan, open) {
    const box = el("details", "wb-details"), table = el("table", "wb-table"), head = el("tr"), body = el("tbody");
    box.open = open;
    for (const name of ["attempt", "verdict", "tokens", "signal", "why"]) { const cell = el("th", "", name); cell.scope = "col"; head.append(cell); }
    for (const row of plan.rows) {
      add(body, add(el("tr", row.used ? "" : "wb-off"), el("td", "", String(row.number)), el("td", row.passed ? "wb-pass" : "wb-fail", row.passed ? "✓ passed" : "✗ failed"),
        el("td", "wb-num", String(row.tokens)), el("td", "", row.used ? "yes" : "no"), el("td", "", row.reason)));
    }
    const title = plan.used < plan.total ? `signal report: which attempts give signal, and why ${plan.total - plan.used} ${plan.total - plan.used === 1 ? "does" : "do"} not` : "signal report: which attempts give signal, and of what kind";
    return add(box, el("summary", "", title), add(table, add(el("thead"), head), body));
  }

  function outcome(after) {
    const numbers = [["loss", after.loss, "nats per token", two], ["sign agreement", [after.agreement], "of tokens", percent],
      ["rank correlation", [after.rank_correlation], "", two], ["KL to before", [after.kl], "nats per token", two], ["entropy", after.entropy, "nats per token", two],
      ["gradient norm", [after.grad_norm], "", two]];
    const reach = after.reach, ended = { limit: "its limit", gap: "the gap closed", steps: "the most steps" };
    if (reach && reach.moved !== null) numbers.splice(1, 0, ["moved", [reach.moved], `of ${two(reach.allowed)} nats per token, in ${plural(reach.steps, "step")}; ended by ${ended[reach.ended_by]}`, two]);
    if (after.held_out) numbers.splice(1, 0, ["held-out", after.held_out, "pass rate", (v) => (v === null ? "–" : percent(v))]);
    if (after.kl_to_base !== null) numbers.push(["KL to reference", [after.kl_to_base], "nats per token", two]);
    if (after.teacher_error !== null) numbers.push(["teacher's average", [after.teacher_error], "relative error, at most", two]);
    const list = el("dl", "wb-numbers");
    for (const [name, values, unit, show] of numbers) {
      add(list, add(el("div"), add(el("dt"), term(name)), el("dd", "", values.map(show).join(" → ")), el("dd", "wb-unit", unit)));
    }
    const caption = `Update ${after.update} (${two(after.seconds)} s): predicted against realised, and side effects on fixed probe tokens`;
    return add(el("div", "wb-after"), el("p", "wb-quiet", caption), list);
  }

  window.SDPOPage.parts.health = (root, data, trigger) => {
    root.replaceChildren(heading("Health"));
    for (const sentence of data.alarms) {
      const alarm = add(el("div", "wb-alarm"), el("p", "", sentence), button("wb-small", "Undo this update", () => trigger("select", { id: "undo" })));
      alarm.setAttribute("role", "alert");
      root.append(alarm);
    }
    if (data.empty) { root.append(el("p", "wb-empty", "After the first update: entropy, KL, length and gradient norm, update by update.")); return; }
    if (!data.alarms.length) root.append(el("p", "wb-quiet", `No alarm after ${plural(data.updates, "update")}.`));
    const list = el("dl", "wb-health");
    for (const curve of data.curves) {
      const known = curve.values.filter((value) => value !== null);
      add(list, add(el("div"), add(el("dt"), term(curve.name)), add(el("dd"), ...(known.length > 1 ? [spark(curve.values)] : []), el("span", "", two(known.at(-1)))), el("dd", "wb-unit", curve.unit)));
    }
    root.append(list);
  };

  /* A curve without axes: its shape is what is read, its last number stands beside it. */
  function spark(values) {
    const W = 92, H = 24, svg = document.createElementNS(SVG, "svg"), line = document.createElementNS(SVG, "polyline");
    svg.setAttribute("width", W); svg.setAttribute("height", H); svg.setAttribute("aria-hidden", "true"); svg.setAttribute("class", "wb-spark");
    const places = values.map((value, i) => [i, value]).filter(([, value]) => value !== null);
    const sizes = places.map(([, value]) => value), low = Math.min(0, ...sizes), high = Math.max(...sizes, low + 1e-9);
    const at = ([i, value]) => [2 + (W - 6) * (values.length > 1 ? i / (values.length - 1) : 1), H - 3 - (H - 6) * (value - low) / (high - low)];
    line.setAttribute("points", places.map((place) => at(place).map((n) => n.toFixed(1)).join(",")).join(" "));
    const [x, y] = at(places.at(-1)), dot = document.createElementNS(SVG, "circle");
    dot.setAttribute("cx", x); dot.setAttribute("cy", y); dot.setAttribute("r", 2.5);
    svg.append(line, dot);
    return svg;
  }
})();
