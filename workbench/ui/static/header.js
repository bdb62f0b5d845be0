/* The line at the top: the run and its policy, what runs and for how long yet, and on demand everything that waits, with
   a stop for each. What a screen reader is told by itself changes only with what runs and with one's own place. */
(function () {
  "use strict";
  const { el, add, button, time } = window.SDPOPage.kit;
  const REPLAY = "Replay: what this run held on disk when the page was started. No model is loaded, so nothing can be sampled, scored, said or updated here; open the run itself for that.";
  const STATES = { loading: "loading the model", ready: "idle", failed: "not running", closed: "closed" };

  /* The names that this tab has had: a reload gives it a new one, and its jobs are still its own. */
  const KEY = "sdpo-tab-names";
  let names = [];
  try { names = JSON.parse(sessionStorage.getItem(KEY)) || []; } catch { /* private window: only the present name */ }
  function called(name) {
    if (!name || names.includes(name)) return;
    names = [...names, name].slice(-20);
    try { sessionStorage.setItem(KEY, JSON.stringify(names)); } catch { /* as above */ }
  }
  const mine = (by) => names.includes(by);

  /* Light or dark, once chosen, is this browser's, whatever the system or the address say. */
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
    const far = job.progress;
    return far ? `${far.done} of ${far.at_most ? "at most " : ""}${far.total} ${far.unit}` : "";
  }
  /* Its own count, else the share of the time that the last of its kind took; null where neither is known. */
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
    const made = el("progress");
    made.max = 1;
    made.setAttribute("aria-label", "Progress of what runs");
    return made;
  }

  function build(root, trigger) {
    dress(); // Gradio has dressed the page as the system is, and does so again when that changes
    DARK.addEventListener("change", dress);
    const n = root.nodes = { facts: el("span", "wb-facts"), state: el("span", "wb-state"), label: el("span"), bar: bar(), time: el("span", "wb-time"),
      list: el("ol", "wb-queue"), note: el("div"), problem: el("div") };
    n.label.setAttribute("role", "status");
    n.label.tabIndex = -1; // where the focus goes when what had it is gone
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
    const item = el("li"), made = { item, place: el("span", "wb-number"), label: el("span"), by: el("span", "wb-quiet"), count: el("span", "wb-quiet"), bar: bar() };
    made.stop = button("wb-small", "Stop", () => n.press({ id: "stop", job: job.id }));
    add(item, made.place, add(el("span", "wb-job"), made.label, made.bar, made.count, made.by), made.stop);
    n.items.set(job.id, made);
    return made;
  }
  function queue(n, jobs) {
    const focused = document.activeElement;
    for (const [id, made] of n.items) if (!jobs.some((job) => job.id === id)) { made.item.remove(); n.items.delete(id); }
    jobs.forEach((job, index) => {
      const made = n.items.get(job.id) || row(n, job);
      say(made.place, job.position ? String(job.position) : "now");
      say(made.label, job.label);
      say(made.by, mine(job.by) ? "this tab" : job.by ? "another tab or program" : "the page itself");
      say(made.count, job.position ? "waits" : [counted(job), left(job)].filter(Boolean).join(", "));
      fill(made.bar, job.position ? null : job);
      made.stop.setAttribute("aria-label", `Stop: ${job.label}, ${place(job)}`);
      if (n.list.children[index] !== made.item) n.list.insertBefore(made.item, n.list.children[index] || null);
    });
    n.more.hidden = !jobs.length;
    if (!jobs.length) { n.list.hidden = true; n.more.setAttribute("aria-expanded", "false"); }
    if (focused !== document.activeElement) (jobs.length ? n.more : n.label).focus(); // its row has gone
  }

  window.SDPOPage.parts.header = (root, data, trigger) => {
    if (!root.nodes) build(root, trigger);
    const n = root.nodes, waiting = data.jobs.filter((job) => job.position), running = data.jobs.find((job) => !job.position);
    called(data.tab);
    const own = waiting.find((job) => mine(job.by));
    say(n.facts, [`run ${data.run}`].concat(data.facts).join(" · "));
    n.facts.title = [n.facts.textContent, ...data.directories].join("\n"); // it may be cut, and calls directories by their last folder
    n.state.dataset.state = data.state;
    say(n.label, (data.state !== "busy" ? STATES[data.state] : running ? running.label : "about to begin") + (own ? ` · yours is ${place(own)}` : ""));
    say(n.time, running ? left(running) : "");
    fill(n.bar, running);
    say(n.more, waiting.length ? `${waiting.length} waiting` : "queue");
    queue(n, data.jobs);

    const problem = (data.problem && (!data.problem_for || mine(data.problem_for)) ? data.problem : "") || data.damage;
    if (problem !== n.problem.dataset.said || data.state !== n.problem.dataset.state) {
      Object.assign(n.problem.dataset, { said: problem, state: data.state });
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
