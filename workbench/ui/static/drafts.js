/* Words that are being typed stay as they are until they are given: what others say of the same attempt meanwhile is
   shown on its card, and does not take their place. Only the browser knows what has not been sent yet. */
(function () {
  "use strict";
  let draft = null; // {id of the attempt, text}
  const field = () => document.querySelector("#feedback textarea");
  const chosen = () => { const card = document.querySelector('.wb-card-button[aria-pressed="true"]'); return card ? card.dataset.id : null; };

  document.addEventListener("input", (event) => {
    if (event.isTrusted && event.target === field()) draft = { id: chosen(), text: event.target.value };
  });
  document.addEventListener("click", (event) => { // given, or the page itself is asked to change it
    if (event.isTrusted && event.target.closest("#give-feedback, #part-evidence")) draft = null;
  }, true);
  const keep = () => { // before each picture, so that nobody sees the other words; where the cursor stood, it stays
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
