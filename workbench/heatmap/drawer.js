/* The token drawer: both distributions, the formula with this token's numbers filled in, the push on each
   alternative, and - where a host can run the policy - what happens when another token is forced. */

/* Numbers of one token by the name of the series ("student", "teacher", "kl", "template only", ...), nats. */
const numberOf = (payload, name, i) => ((payload.numbers || []).find((series) => series.name === name) || { values: [] }).values[i];
const logs = (a, b) => `log ${prob(Math.exp(a))} − log ${prob(Math.exp(b))} = ${filled(a)} − (${filled(b)})`;
const UNSEEN = 5e-4; // a push that is shown as 0, and by no bar
/* Formulas with numbers, by view; undefined where a number is missing. */
const FILLED = {
  raw: (of, v) => `A = log q − log π = ${logs(of("teacher"), of("student"))} = ${filled(v, signed)} nats`,
  centred: (of, v) => `A + KL = ${logs(of("teacher"), of("student"))} + ${filled(of("kl"))} = ${filled(v, signed)} nats`,
  control: (of, v) => `A − A[template only] = log q − log q[template only] = ${logs(of("teacher"), of("template only"))} = ${filled(v, signed)} nats`,
  control_wrong: (of, v) => `A − A[wrong feedback] = log q − log q[wrong feedback] = ${logs(of("teacher"), of("wrong feedback"))} = ${filled(v, signed)} nats`,
  evidence: (of, v) => { const own = of("teacher") - of("student"); return `Σ A = ${filled(v - own)} before + ${filled(own)} here = ${filled(v, signed)} nats`; },
  srpo: (of, v) => `exp(−H[q]) / mean = exp(−${filled(of("entropy teacher"))}) / mean = ${filled(Math.exp(-of("entropy teacher")))} / ${filled(Math.exp(-of("entropy teacher")) / v)} = ${filled(v)}`,
  predicted: (of, v) => `push = −∂L/∂z = ${filled(v, signed)}`,
  realised: (of, v) => `Δ log π = log π after − log π before = ${filled(v, signed)} nats`,
};
function formulaText(payload, look, i) {
  let missing = false;
  const of = (name) => { const value = numberOf(payload, name, i); if (!Number.isFinite(value)) missing = true; return value; };
  const told = FILLED[look.view.name] && Number.isFinite(look.values[i]) ? FILLED[look.view.name](of, look.values[i]) : "";
  if (told && !missing) return told;
  return look.view.formula ? `${look.view.formula} = ${withUnit(look.view, plus(look, look.values[i]) + filled(look.values[i]))}` : "";
}

/* `on`: {close(), choose(), test(token id), force(token id)}. */
function tokenDrawer(uid, on) {
  const node = el("aside", "hm-panel");
  node.hidden = true;
  node.setAttribute("aria-label", "Token");
  node.addEventListener("keydown", (event) => { if (event.key === "Escape") { event.stopPropagation(); on.close(); } });
  let chosen = null; // {key, id}: the alternative that was picked, and at which token

  /* `state`: payload, cursor, look, actions ({n} where tokens can be forced), supplied (what the host sent of a token). */
  function draw(state) {
    node.hidden = !state.open;
    if (!state.open) { node.replaceChildren(); return; }
    const focused = node.contains(document.activeElement) ? document.activeElement.dataset.key : null;
    const i = state.cursor, token = state.payload.tokens[i], look = state.look;
    const sent = state.supplied && state.supplied.id === state.payload.id && state.supplied.index === i ? state.supplied : {};
    const top = sent.top || (state.payload.top || [])[i];
    const close = button("hm-close", "×", "Close");
    close.dataset.key = "close";
    close.addEventListener("click", () => on.close());
    const head = add(el("div", "hm-panel-head"), `token ${i + 1} of ${state.payload.tokens.length} · id ${token.id}`, close);
    const big = add(el("p", "hm-big"), shortText(look, i), el("small", "", ` ${look.view.unit || ""} · ${look.view.title}`));
    node.replaceChildren(head, el("p", "hm-panel-tok", quoted(token.text)), big);
    const key = `${state.payload.id}:${i}`;
    if (!chosen || chosen.key !== key) chosen = { key, id: top ? favourite(top, token.id) : null };
    if (top && chosen.id === null) chosen.id = favourite(top, token.id);
    if (top) node.append(alternatives(top, token.id, state.actions));
    else if (state.actions) node.append(el("p", "hm-wait", "Both distributions are on their way …"));
    if (sent.reach) node.append(el("p", "hm-note hm-reach", sent.reach));
    const formula = formulaText(state.payload, look, i);
    if (formula) node.append(el("div", "hm-formula", formula));
    if (state.actions && top) node.append(...interventions(state, sent, top, token));
    const all = add(el("details", "hm-all"), el("summary", "", "All numbers of this token"), numberList(state, i));
    all.open = state.all === true;
    all.addEventListener("toggle", () => { state.all = all.open; });
    all.firstChild.dataset.key = "all";
    node.append(all);
    const again = focused && node.querySelector(`[data-key="${CSS.escape(focused)}"]`);
    if (again) again.focus();
  }

  /* What the teacher would most likely write other than the attempt's own token. */
  function favourite(top, own) {
    let best = null;
    top.ids.forEach((id, k) => { if (id !== own && (best === null || top.teacher[k] > top.teacher[best])) best = k; });
    return best === null ? null : top.ids[best];
  }

  function alternatives(top, own, actions) {
    const table = el("table", "hm-alts"), head = el("tr");
    const title = (text, what) => { const cell = el("th", "", text); cell.scope = "col"; cell.title = what; return cell; };
    const student = title("π", "Student: probability before the feedback"), teacher = title("q", "Teacher: probability with the feedback");
    student.prepend(el("b", "hm-s")); teacher.prepend(el("b", "hm-q"));
    add(head, title(actions ? "force" : "next token", "Likeliest tokens of both sides"), student, teacher,
      title("push", "Minus the gradient of the loss at this token's logit: + a step makes it likelier"));
    table.append(add(el("thead"), head));
    const body = el("tbody"), strongest = Math.max(...top.push.map(Math.abs), UNSEEN);
    const places = top.ids.map((_, k) => k).sort((a, b) => Math.max(top.student[b], top.teacher[b]) - Math.max(top.student[a], top.teacher[a]));
    const shown = places.filter((k, place) => place < 8 || top.ids[k] === own);
    for (const k of shown) body.append(row(quoted(top.texts[k]), k, top.ids[k]));
    const left = places.filter((k) => !shown.includes(k)), last = top.ids.length;
    const rest = (side) => left.reduce((sum, k) => sum + top[side][k], top[side][last]);
    body.append(row("all others", null, null));
    table.append(body);
    return table;

    function row(name, k, id) {
      const [p, q, push] = k === null ? [rest("student"), rest("teacher"), rest("push")] : [top.student[k], top.teacher[k], top.push[k]];
      const cell = el("td", "hm-alt"), label = add(el(actions && id !== null ? "label" : "span", k === null ? "hm-rest" : "hm-alt-tok"));
      if (actions && id !== null) {
        const radio = el("input");
        Object.assign(radio, { type: "radio", name: `${uid}-force`, value: String(id), checked: id === chosen.id });
        radio.dataset.key = `radio-${id}`;
        radio.addEventListener("change", () => { chosen.id = id; on.choose(); });
        label.append(radio);
      }
      label.append(name);
      if (id === own) label.append(el("em", "", "sampled"));
      const bars = [["hm-s", p], ["hm-q", q]].map(([cls, share]) => { const bar = el("i", cls); bar.style.width = `${(100 * (share || 0)).toFixed(1)}%`; return bar; });
      add(cell, label, ...bars);
      const pushed = el("td", `hm-push ${push > 0 ? "hm-up" : push < 0 ? "hm-down" : ""}`, Math.abs(push) < UNSEEN ? "0" : signed(push)), bar = el("i");
      bar.style.width = `${(100 * Math.abs(push) / strongest).toFixed(1)}%`;
      pushed.append(bar);
      return add(el("tr"), cell, el("td", "", prob(p)), el("td", "", prob(q)), pushed);
    }
  }

  function interventions(state, sent, top, token) {
    const n = state.actions.n, place = top.ids.indexOf(chosen.id), other = chosen.id !== token.id;
    const named = place >= 0 ? quoted(top.texts[place]) : "it";
    const action = (key, text, possible) => {
      const made = button("hm-act", text), can = possible && place >= 0 && !sent.busy;
      made.dataset.key = key;
      made.setAttribute("aria-disabled", String(!can)); // not `disabled`, which would take the focus away
      made.addEventListener("click", () => { if (can) on[key](chosen.id); });
      return made;
    };
    const test = action("test", sent.busy === "test" ? "Testing …" : "Test this credit", other);
    const force = action("force", sent.busy === "force" ? "Continuing …" : "Force and continue", true);
    const what = other
      ? `Test: ${n} continuations after ${named} and ${n} after ${quoted(token.text)}, each judged. Force: one of them, as a new attempt.`
      : `Force: a new attempt goes on from here. Choose another token to test this credit.`;
    const said = (sent.tests || []).map(testResult);
    return [add(el("div", "hm-acts"), test, force), el("p", "hm-note", what), ...said];
  }

  function testResult(found) {
    const [low, high] = found.interval, box = el("div", "hm-test");
    const points = (value) => signed(Math.round(100 * value), 3);
    const verdict = low > 0 ? "so the token decides: the other one passes more often" : high < 0 ? "so the token decides: the other one passes less often"
      : `which ${2 * found.n} continuations cannot tell from no change; test again to add more`;
    box.setAttribute("role", "status");
    add(box, el("p", "", `${quoted(found.forced)} passes ${found.passed_forced} of ${found.n}, ${quoted(found.token)} ${found.passed} of ${found.n}: ` +
      `pass rate ${points(found.change)} points, 95 % interval ${points(low)} to ${points(high)}, ${verdict}.${found.here ? "" : " Under another state of the policy."}`));
    const scale = el("div", "hm-interval"), range = el("i"), dot = el("b");
    scale.setAttribute("aria-hidden", "true");
    const at = (value) => 50 + 50 * value; // per cent of the width; -1 to 1
    range.style.left = `${at(low)}%`; range.style.width = `${at(high) - at(low)}%`; dot.style.left = `${at(found.change)}%`;
    return add(box, add(scale, range, dot));
  }

  return { node, draw };
}

/* The numbers of one token as a list: the view in force, the second one, then everything that was scored. */
function numberList(state, i) {
  const list = el("dl", "hm-nums");
  const row = (name, text) => add(list, el("dt", "", name), el("dd", "", text));
  row(state.look.view.title, valueText(state.look, i, exact));
  if (state.second) row(state.second.view.title, valueText(state.second, i, exact));
  for (const series of state.payload.numbers || []) row(series.name, withUnit(series, exact(series.values[i])));
  return list;
}
