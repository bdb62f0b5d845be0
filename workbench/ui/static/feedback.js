/* The panel of feedback: the teacher context, and the credit under other feedback. */
(function () {
  "use strict";
  const { el, add, two, heading, term, button } = window.SDPOPage.kit;

  window.SDPOPage.parts.evidence = (root, data, trigger) => {
    if (data.empty) { root.replaceChildren(); return; }
    const label = data.source ? add(el("span", "wb-kind"), data.source) : el("span", "wb-quiet", "none yet");
    const first = add(el("p", "wb-evidence"), term("feedback"), data.source ? " from " : ": ", label);
    if (data.passed && !data.source) first.append(el("span", "wb-quiet", "; an attempt that passed gets none by itself"));
    if (data.source) first.append(" ", button("wb-small", "Delete", () => trigger("select", { id: "delete" })));
    root.replaceChildren(heading("Feedback"), first);
    if (data.others.length) root.append(demonstrations(data, trigger));
    if (data.marked) root.append(marked(data.marked, trigger));
  };

  function demonstrations(data, trigger) {
    const row = add(el("div", "wb-chips"), term("demonstration"));
    row.setAttribute("role", "group"); row.setAttribute("aria-label", "Demonstration: another attempt, shown to the teacher");
    const chip = (text, value, pressed) => {
      const node = button("wb-chip", text, () => trigger("select", { id: "demonstration", value }));
      node.setAttribute("aria-pressed", String(pressed));
      row.append(node);
    };
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
