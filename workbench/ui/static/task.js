/* What is said of a prompt that the policy does not speak, and files that the browser saves. */
(function () {
  "use strict";
  const { el, add, button, redraw } = window.SDPOPage.kit;
  const size = (bytes) => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`);

  function advised(data, trigger) {
    const box = el("div", "wb-advice");
    box.append(el("p", "", "The embedded policy speaks house rules only, so its answers here mean little. The closest that it can do:"), el("p", "wb-closest", data.closest));
    if (trigger) box.append(button("wb-small", "Use the closest instead", () => trigger("select", { id: "closest" })));
    if (!data.models) return box;
    const more = el("details", "wb-details"), table = el("table", "wb-table"), body = el("tbody"), head = el("tr");
    for (const name of ["model", "download", "needs", "fits here"]) { const cell = el("th", "", name); cell.scope = "col"; head.append(cell); }
    for (const one of data.models) {
      add(body, add(el("tr", one.fits === false ? "wb-off" : ""), el("td", "", one.model), el("td", "wb-num", size(one.download_bytes)), el("td", "wb-num", size(one.needed_bytes)),
        el("td", "", one.fits === null ? "unknown" : one.fits ? "yes" : "no")));
    }
    add(more, el("summary", "", "models from the hub that speak more"), add(table, add(el("thead"), head), body),
      el("p", "wb-quiet", "Start with one: python app.py --model NAME. Needs: predicted for a step on an attempt of 512 tokens."));
    return add(box, more);
  }
  window.SDPOPage.advised = advised;

  window.SDPOPage.parts.language = (root, data, trigger) => redraw(root, ...(data.closest ? [advised(data, trigger)] : []));

  /* The text goes into a file by the browser alone: nothing is left on the server. */
  window.SDPOPage.parts.download = (root, data) => {
    const link = el("a", "wb-quiet", `${data.name} (${data.text.length.toLocaleString("en-US")} characters)`);
    link.href = URL.createObjectURL(new Blob([data.text], { type: data.type || "application/jsonl" }));
    link.download = data.name;
    root.replaceChildren(link);
    link.click();
  };
})();
