/* "First round in six steps": a note beside one real control after the other. It never covers the page or takes its
   keys, and only this browser remembers that it was seen. Classroom mode: large type and prepared rounds. */
(function () {
  "use strict";
  const { el, add, button } = window.SDPOPage.kit;
  const SEEN = "sdpo-tour-seen";
  const STEPS = [
    ["#task", "Choose a task", "A specification for the policy, with some conventions left open. Its exact text is shown below."],
    ["#do-sample", "Sample attempts", "The policy answers several times. Each answer is run in a sandbox and judged while you watch."],
    [".wb-cards", "Choose a failed attempt", "Each card is one attempt: verdict, reward, and a strip of its credit. Press one to look closer."],
    ["#part-heat", "Read the colours", "Blue: with the feedback, the teacher finds this token likelier; orange: less likely. Press a token for its numbers."],
    ["#feedback", "Say what was wrong", "These words are what the teacher knows and the student does not. Edit them, give them, and watch the colours change."],
    ["#do-update", "Update, then undo", "The plan says beforehand what the update will do; the numbers below it show what it did. Undo takes it back, bit for bit."],
  ];
  const remembered = () => { try { return localStorage.getItem(SEEN) !== null; } catch { return true; } };
  const remember = () => { try { localStorage.setItem(SEEN, "1"); } catch { /* private window: the tour is offered again */ } };

  let note = null, at = 0, marked = null;
  function leave() {
    if (!note) return;
    if (marked) marked.classList.remove("wb-toured");
    note.remove();
    note = marked = null;
    remember();
    const again = document.querySelector(".wb-tour-open");
    if (again) again.focus();
  }
  function show(step) {
    at = Math.max(0, Math.min(STEPS.length - 1, step));
    const [selector, title, text] = STEPS[at], target = document.querySelector(selector);
    if (marked) marked.classList.remove("wb-toured");
    marked = target && target.getClientRects().length ? target : null;
    const heading = el("h2", "", `${at + 1} of ${STEPS.length} · ${title}`);
    heading.tabIndex = -1;
    const back = button("wb-tour-back", "Back", () => show(at - 1)), last = at === STEPS.length - 1;
    back.disabled = at === 0;
    const row = add(el("div", "wb-tour-row"), back, button("wb-tour-next", last ? "Done" : "Next", () => (last ? leave() : show(at + 1))), button("wb-tour-leave", "Leave", leave));
    note.replaceChildren(heading, el("p", "", text), ...(marked ? [] : [el("p", "wb-quiet", "It appears here after the previous steps.")]), row);
    if (marked) { marked.classList.add("wb-toured"); marked.scrollIntoView({ block: "center" }); }
    place();
    heading.focus({ preventScroll: true });
  }
  function place() {
    if (!note) return;
    const width = Math.min(340, window.innerWidth - 24), box = marked ? marked.getBoundingClientRect() : null;
    note.style.width = `${width}px`;
    const height = note.offsetHeight;
    let left = window.innerWidth - width - 16, top = window.innerHeight - height - 16;
    if (box && window.innerWidth > 640) { // beside the control where there is room, else below or above it
      left = box.right + width + 24 < window.innerWidth ? box.right + 12 : Math.max(12, Math.min(box.left, window.innerWidth - width - 16));
      top = left > box.right ? box.top : box.bottom + height + 24 < window.innerHeight ? box.bottom + 12 : box.top - height - 12;
    }
    note.style.left = `${left}px`;
    note.style.top = `${Math.max(12, Math.min(top, window.innerHeight - height - 12))}px`;
  }
  function start() {
    const round = [...document.querySelectorAll('[role="tab"]')].find((tab) => tab.textContent.trim() === "Round");
    if (round) round.click();
    if (!note) {
      note = el("div", "wb-tour");
      note.setAttribute("role", "dialog");
      note.setAttribute("aria-label", "First round in six steps");
      document.body.append(note);
    }
    show(0);
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && note) leave(); });
  window.addEventListener("resize", place);
  window.addEventListener("scroll", place, { passive: true, capture: true });

  const wanted = () => new URLSearchParams(location.search).get("classroom") === "1";
  function classroom(on) {
    document.body.classList.toggle("wb-classroom", on);
    const url = new URL(location.href);
    if (on) url.searchParams.set("classroom", "1"); else url.searchParams.delete("classroom");
    history.replaceState(null, "", url);
    window.dispatchEvent(new Event("resize")); // charts and strips are laid out for their new size
  }

  /* The header's two buttons, which are drawn with it. */
  window.SDPOPage.aids = () => {
    const tour = button("wb-aid wb-tour-open", remembered() ? "Tour" : "New here? First round in six steps", start);
    const large = button("wb-aid wb-classroom-open", "Classroom", () => { classroom(!document.body.classList.contains("wb-classroom")); mark(); });
    const mark = () => large.setAttribute("aria-pressed", String(document.body.classList.contains("wb-classroom")));
    if (wanted()) document.body.classList.add("wb-classroom");
    mark();
    return [tour, large];
  };

  window.SDPOPage.parts.presets = (root, data, trigger) => {
    const list = el("ol", "wb-presets-list");
    for (const preset of data.presets) {
      const press = button("wb-preset", preset.title, () => trigger("select", { id: preset.name }));
      press.disabled = data.off;
      list.append(add(el("li"), press, el("p", "wb-quiet", preset.shows)));
    }
    root.replaceChildren(el("h2", "wb-h", "Prepared rounds"), list);
  };
})();
