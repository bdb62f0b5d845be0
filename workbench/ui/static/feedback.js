/* The panel of feedback: the teacher context, and the credit under other feedback. */
(function () {
  "use strict";
  const { el, add, two, plural, written, heading, term, button } = window.SDPOPage.kit;

  window.SDPOPage.parts.evidence = (root, data, trigger) => {
    if (data.empty) { root.replaceChildren(); return; }
    const chip = (text, kind, pressed) => {
      const node = button("wb-chip wb-switch", text, () => trigger("select", { id: "kind", value: kind }));
      node.setAttribute("aria-pressed", String(pressed));
      node.title = pressed ? "The teacher sees this kind of feedback; press to hide it from the teacher" : "The teacher does not see this kind of feedback; press to show it";
      return node;
    };
    const label = data.source ? add(el("span", "wb-kind"), data.source) : el("span", "wb-quiet", "none yet");
    const first = add(el("p", "wb-evidence"), term("feedback"), data.source ? " from " : ": ", label);
    if (data.passed && !data.source) first.append(el("span", "wb-quiet", "; an attempt that passed gets none by itself"));
    if (data.source) first.append(" ", button("wb-small", "Delete", () => trigger("select", { id: "delete" })));
    root.replaceChildren(heading("Feedback"), ...verdict(data), first);
    if (data.parts.length) root.append(byKind(data.parts, chip));
    if (data.parts.length && !data.parts.some((part) => part.on)) root.append(el("p", "wb-quiet", "All of it is of kinds that are switched off: the teacher sees no feedback on this attempt."));
    if (data.replay) root.append(el("p", "wb-quiet", "In a replay, switching a kind changes what is listed here and the signal report. The colours and the teacher prompt stay as they were stored: other ones need the model."));
    if (data.others.length) root.append(demonstrations(data, trigger, chip));
    if (data.marked) root.append(marked(data.marked, trigger));
  };

  /* What was read as the answer, and the tests one by one. */
  function verdict(data) {
    const lines = [];
    if (data.read_as) lines.push(add(el("details", "wb-details"), el("summary", "", "what was read as the answer"), written("pre", "wb-pre", data.read_as)));
    if (data.tests.shown) {
      const list = el("ul", "wb-tests");
      list.setAttribute("aria-label", "Results of the tests");
      data.tests.shown.forEach((test, index) => {
        const item = add(el("li"), el("span", test.passed ? "wb-pass" : "wb-fail", `${test.passed ? "✓" : "✗"} test ${index + 1}`));
        list.append(test.passed || !test.shown ? item : add(item, " ", written("span", "", test.shown)));
      });
      const { hidden, hidden_passed: passed } = data.tests;
      if (hidden) list.append(el("li", passed === hidden ? "wb-pass" : "wb-fail", `${plural(hidden, "hidden test")}: ${passed} passed`));
      lines.push(list);
    }
    return lines;
  }

  /* The feedback by kind; the kind is the switch. */
  function byKind(parts, chip) {
    const list = el("ul", "wb-parts");
    list.setAttribute("aria-label", "Feedback by kind; pressed kinds are shown to the teacher");
    for (const { kind, on, texts } of parts) {
      const said = texts.length ? written("span", "wb-part-text", texts.join("\n")) : el("span", "wb-quiet", "discloses the answer: hidden until you switch it on");
      list.append(add(el("li", on ? "" : "wb-off"), chip(kind, kind, on), said));
    }
    return list;
  }

  function demonstrations(data, trigger, shown) {
    const row = add(el("div", "wb-chips"), term("demonstration"));
    row.setAttribute("role", "group"); row.setAttribute("aria-label", "Demonstration: another attempt, shown to the teacher");
    const chip = (text, value, pressed) => {
      const node = button("wb-chip", text, () => trigger("select", { id: "demonstration", value }));
      node.setAttribute("aria-pressed", String(pressed));
      row.append(node);
    };
    row.append(shown(data.demonstrations ? "shown to the teacher" : "hidden from the teacher", "demonstration", data.demonstrations));
    chip("from the settings", "", !data.chosen);
    for (const other of data.others) chip(`${other.number} ${other.passed ? "✓" : "✗"}`, other.id, other.id === data.demonstration);
    return row;
  }

  function marked(span, trigger) {
    const line = el("p", "wb-evidence");
    const places = span.end - span.start === 1 ? `token ${span.start + 1}` : `tokens ${span.start + 1} to ${span.end}`;
    return add(line, "Marked: ", places, " ", el("code", "wb-marked", span.text.slice(0, 80)), ". Only these count in the update. ",
      button("wb-small", "Quote in the feedback", () => trigger("select", { id: "quote", value: span.text.slice(0, 200) })), " ",
      button("wb-small", "Count all tokens", () => {
        const heat = document.querySelector(".wb-heat");
        if (heat && heat.heat) heat.heat.select(span.start); // an unmarked cursor: the marks go
        trigger("select", { id: "clear" });
      }));
  }

  window.SDPOPage.parts.whatif = (root, data) => {
    if (data.empty) { root.replaceChildren(); return; }
    const sides = el("div", "wb-sides");
    for (const [name, payload, sum] of [["in force", data.before, data.sums[0]], ["what if", data.after, data.sums[1]]]) {
      const side = el("div");
      sides.append(side);
      window.SDPOHeatmap.mount(side, { ...payload, title: `${name}: Σ credit ${two(sum)} nats`, view: "raw" }, { theme: "host" });
    }
    root.replaceChildren(el("p", "wb-quiet", "The same attempt: its credit in force beside its credit under the feedback above. Nothing was recorded."), sides);
  };
})();
