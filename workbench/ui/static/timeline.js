/* The tree of updates, and two of its nodes side by side. */
(function () {
  "use strict";
  const { el, add, two, percent, heading, term } = window.SDPOPage.kit;

  window.SDPOPage.parts.timeline = (root, data, trigger) => {
    root.replaceChildren(heading("Timeline"));
    if (data.empty) root.append(el("p", "wb-empty", data.empty));
    if (data.nodes.length > 1) root.append(tree(data.nodes, trigger));
  };

  function tree(nodes, trigger) {
    const text = (node) => (node.parent === null ? "start" : node.loss ? `${two(node.loss[0])} → ${two(node.loss[1])}` : node.id);
    const X = 22 + 6.5 * Math.max(9, ...nodes.map((node) => text(node).length)), Y = 58, R = 9; // labels stand side by side
    const box = el("div", "wb-tree"), svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    const width = (Math.max(...nodes.map((node) => node.x)) + 1) * X, height = (Math.max(...nodes.map((node) => node.y)) + 1) * Y + 16;
    svg.setAttribute("width", width); svg.setAttribute("height", height); svg.setAttribute("aria-hidden", "true");
    const at = new Map(nodes.map((node) => [node.id, node]));
    const place = (node) => [node.x * X + 24, node.y * Y + 24];
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
      const label = text(node);
      button.setAttribute("aria-label", `${node.id} on ${node.name}${node.head ? ", the head" : ", go there"}, loss ${label}`);
      button.title = `${node.id} · ${node.name}`;
      if (node.head) button.setAttribute("aria-current", "step");
      button.addEventListener("click", () => { if (!node.head) trigger("select", { id: node.id }); });
      box.append(add(button, el("i"), el("span", "", label)));
      if (node.begins) {
        const name = el("span", "wb-branch", node.name);
        name.style.left = `${x - 22}px`; name.style.top = `${y - R - 16}px`;
        box.append(name);
      }
    }
    box.style.minHeight = `${height + 12}px`;
    return box;
  }

  window.SDPOPage.parts.nodes = (root, data) => {
    const [first, second] = data.nodes;
    const list = el("dl", "wb-numbers");
    const row = (name, value, unit) => add(list, add(el("div"), add(el("dt"), term(name)), el("dd", "", value), el("dd", "wb-unit", unit)));
    row("adapter distance", two(data.distance), "relative");
    row("held-out", `${rate(first.held_out)} → ${rate(second.held_out)}`, "pass rate");
    row("attempts at each", `${passed(first)} → ${passed(second)}`, "passed");
    const heat = el("div", "wb-compared");
    root.replaceChildren(el("p", "wb-quiet", `From ${first.id} to ${second.id}`), list, heat);
    if (data.heat.tokens.length) window.SDPOHeatmap.mount(heat, { title: "The chosen attempt, re-scored under both", summary: "", ...data.heat }, { theme: "host" });
    else heat.append(el("p", "wb-empty", "Choose an attempt to see it re-scored under both."));
  };
  const passed = (node) => (node.written ? `${node.passed} of ${node.written}` : "none");
  const rate = (heldOut) => (heldOut ? percent(heldOut.rate) : "not measured");
})();
