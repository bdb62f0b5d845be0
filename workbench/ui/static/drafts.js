/* Feedback that is being typed stays until it is given: what others say about the same attempt meanwhile is shown on its
   card, and does not replace it. Only the browser knows what has not been sent yet. */
(function () {
  "use strict";
  let draft = null; // {id of the attempt, text}
  const field = () => document.querySelector("#feedback textarea");
  const chosen = () => { const card = document.querySelector('.wb-card-button[aria-pressed="true"]'); return card ? card.dataset.id : null; };

  document.addEventListener("input", (event) => {
    if (event.isTrusted && event.target === field()) draft = { id: chosen(), text: event.target.value };
  });
  document.addEventListener("click", (event) => { // given, or the page itself is asked to change it
    if (event.isTrusted && event.target.closest("#give-feedback, #part-evidence") && !event.target.closest(".wb-switch")) draft = null;
  }, true);
  const keep = () => { // before each frame, so that nobody sees the other text; the cursor stays where it was
    const now = chosen(), area = field();
    if (draft && now && now !== draft.id) draft = null;
    else if (draft && now && area && area.value !== draft.text) {
      const { selectionStart, selectionEnd } = area;
      area.value = draft.text;
      area.setSelectionRange(selectionStart, selectionEnd);
      area.dispatchEvent(new Event("input", { bubbles: true })); // so that Gradio sends it along
    }
    requestAnimationFrame(keep);
  };
  keep();
})();
