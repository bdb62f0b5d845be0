/* The line at the top: the run and its policy, the running job with the time left, and on demand all waiting jobs, each
   with its Stop. A screen reader announces only a change of the running job or of this tab's place in the queue. */
(function () {
  "use strict";
  const { el, add, button, time } = window.SDPOPage.kit;
  const REPLAY = "Replay: the run as it was on disk when the page was started. No model is loaded, so nothing can be sampled, scored, given feedback or updated here; open the run itself for that.";
  const STATES = { loading: "loading the model", ready: "idle", failed: "not running", closed: "closed" };

  /* The names that this tab has had: a reload gives it a new one, and its jobs are still its own. */
  const KEY = "sdpo-tab-names";
  let names = [];
  try { names = JSON.parse(sessionStorage.getItem(KEY)) || []; } catch { /* private window: only the present name */ }
  function remember(name) {
    if (!name || names.includes(name)) return;
    names = [...names, name].slice(-20);
    try { sessionStorage.setItem(KEY, JSON.stringify(names)); } catch { /* as above */ }
  }
  const mine = (by) => names.includes(by);

  /* The theme, once chosen, is kept by this browser, whatever the system or the address say. */
  const THEME = "sdpo-theme", DARK = window.matchMedia("(prefers-color-scheme: dark)");
  let chosen = "";
  try { chosen = localStorage.getItem(THEME) || ""; } catch { /* private window: the system's */ }
  function dress() {
    if (chosen) document.body.classList.toggle("dark", chosen === "dark");
  }
  function turn() {
    chosen = document.body.classList.contains("dark") ? "light" : "dark";
    dress();
    try { localStorage.setItem(THEME, chosen); } catch { /* as above: until the page is left */ }
  }

  const place = (job) => (!job.position ? "now" : job.position === 1 ? "next in line" : `number ${job.position} in line`);
  const say = (node, text) => { if (node.textContent !== text) node.textContent = text; }; // a live region speaks when it is written

  function left(job) {
    if (job.left !== null) return job.progress && job.progress.at_most ? `at most ${time(job.left)} left` : `about ${time(job.left)} left`;
    return job.seconds > 1 ? time(job.seconds) : "";
  }
  function counted(job) {
    const progress = job.progress;
    return progress ? `${progress.done} of ${progress.at_most ? "at most " : ""}${progress.total} ${progress.unit}` : "";
  }
  /* Share done: by its own count, else by the time that the last job of its kind took; null where neither is known. */
  function share(job) {
    if (job.progress) return job.progress.done / job.progress.total;
    return job.left === null ? null : (job.seconds + 1e-3) / (job.seconds + job.left + 1e-3);
  }
  function fill(bar, job) {
    const value = job ? share(job) : null;
    bar.hidden = value === null;
    if (value !== null) bar.value = value;
  }
  function bar() {
    const progress = el("progress");
    progress.max = 1;
    progress.setAttribute("aria-label", "Progress of the running job");
    return progress;
  }

  function build(root, trigger) {
    dress(); // Gradio has set the system's theme, and sets it again when that changes
    DARK.addEventListener("change", dress);
    const n = root.nodes = { facts: el("span", "wb-facts"), state: el("span", "wb-state"), label: el("span"), bar: bar(), time: el("span", "wb-time"),
      list: el("ol", "wb-queue"), note: el("div"), problem: el("div") };
    n.label.setAttribute("role", "status");
    n.label.tabIndex = -1; // takes the focus when the element that had it is gone
    n.list.id = "wb-queue";
    n.list.hidden = true;
    n.more = button("wb-waiting", "", () => { n.list.hidden = !n.list.hidden; n.more.setAttribute("aria-expanded", String(!n.list.hidden)); });
    n.more.setAttribute("aria-controls", "wb-queue");
    n.more.setAttribute("aria-expanded", "false");
    const theme = button("wb-theme", "◐", turn);
    theme.setAttribute("aria-label", "Light or dark");
    n.problem.setAttribute("role", "alert");
    n.list.addEventListener("keydown", (event) => { if (event.key === "Escape") { n.more.click(); n.more.focus(); } });
    n.items = new Map(); // number of a job -> its row
    n.press = (detail) => trigger("select", detail);
    add(n.state, el("i"), n.label, n.bar, n.time, n.more);
    root.append(add(el("div", "wb-line"), el("h1", "wb-brand", "SDPO Workbench"), n.facts, n.state, ...window.SDPOPage.aids(), theme), n.list, n.problem, n.note);
  }

  function row(n, job) {
    const item = el("li"), nodes = { item, place: el("span", "wb-number"), label: el("span"), by: el("span", "wb-quiet"), count: el("span", "wb-quiet"), bar: bar() };
    nodes.stop = button("wb-small", "Stop", () => n.press({ id: "stop", job: job.id }));
    add(item, nodes.place, add(el("span", "wb-job"), nodes.label, nodes.bar, nodes.count, nodes.by), nodes.stop);
    n.items.set(job.id, nodes);
    return nodes;
  }
  function queue(n, jobs) {
    const focused = document.activeElement;
    for (const [id, nodes] of n.items) if (!jobs.some((job) => job.id === id)) { nodes.item.remove(); n.items.delete(id); }
    jobs.forEach((job, index) => {
      const nodes = n.items.get(job.id) || row(n, job);
      say(nodes.place, job.position ? String(job.position) : "now");
      say(nodes.label, job.label);
      say(nodes.by, mine(job.by) ? "this tab" : job.by ? "another tab or program" : "the page itself");
      say(nodes.count, job.position ? "waiting" : [counted(job), left(job)].filter(Boolean).join(", "));
      fill(nodes.bar, job.position ? null : job);
      nodes.stop.setAttribute("aria-label", `Stop: ${job.label}, ${place(job)}`);
      if (n.list.children[index] !== nodes.item) n.list.insertBefore(nodes.item, n.list.children[index] || null);
    });
    n.more.hidden = !jobs.length;
    if (!jobs.length) { n.list.hidden = true; n.more.setAttribute("aria-expanded", "false"); }
    if (focused !== document.activeElement) (jobs.length ? n.more : n.label).focus(); // its row has gone
  }

  window.SDPOPage.parts.header = (root, data, trigger) => {
    if (!root.nodes) build(root, trigger);
    const n = root.nodes, waiting = data.jobs.filter((job) => job.position), running = data.jobs.find((job) => !job.position);
    remember(data.tab);
    const ours = waiting.find((job) => mine(job.by));
    say(n.facts, [`run ${data.run}`].concat(data.facts).join(" · "));
    n.facts.title = [n.facts.textContent, ...data.directories].join("\n"); // the line may be cut off, and shows only the last folder of directories
    n.state.dataset.state = data.state;
    say(n.label, (data.state !== "busy" ? STATES[data.state] : running ? running.label : "about to start") + (ours ? ` · yours is ${place(ours)}` : ""));
    say(n.time, running ? left(running) : "");
    fill(n.bar, running);
    say(n.more, waiting.length ? `${waiting.length} waiting` : "queue");
    queue(n, data.jobs);

    const problem = (data.problem && (!data.problem_for || mine(data.problem_for)) ? data.problem : "") || data.damage;
    if (problem !== n.problem.dataset.text || data.state !== n.problem.dataset.state) {
      Object.assign(n.problem.dataset, { text: problem, state: data.state });
      n.problem.className = problem ? "wb-problem" : "";
      n.problem.replaceChildren(...(problem ? [el("span", "", problem)] : []));
      if (data.state === "failed") n.problem.append(button("wb-small wb-reopen", "Reopen", () => n.press({ id: "reopen" })));
    }
    document.body.classList.toggle("wb-replay", data.replay);
    if (data.replay) {
      n.note.className = "wb-note";
      say(n.note, REPLAY);
      document.querySelectorAll("button:disabled, textarea:disabled, input:disabled").forEach((control) => { control.title = REPLAY; });
    }
  };
})();
