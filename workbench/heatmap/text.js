/* Text and numbers as people read them. Text of a model enters the page by textContent only. */
const LONGEST = 2000; // characters of one token that are shown
// C0 and C1 controls, soft hyphen, bidirectional marks and overrides, zero-width and other invisible characters.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffd]|[\u{e0000}-\u{e0fff}]/u;

const el = (tag, cls, text) => {
  const node = document.createElement(tag);
  if (cls) node.className = cls;
  if (text !== undefined) node.textContent = text;
  return node;
};
const add = (parent, ...children) => { parent.append(...children); return parent; };
const button = (cls, text, label) => {
  const node = el("button", cls, text);
  node.type = "button";
  if (label) node.setAttribute("aria-label", label);
  return node;
};

const num = (value, digits = 2) => {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 1e-3 || size >= 1e5) return value.toExponential(digits - 1).replace("-", "−").replace("e-", "e−").replace("e+", "e");
  const decimals = Math.max(0, digits - 1 - Math.floor(Math.log10(size))); // a larger number keeps all before its point
  return value.toFixed(decimals).replace("-", "−");
};
const exact = (value) => num(value, 4);
const signed = (value, digits = 2) => (value > 0 ? "+" : "") + num(value, digits);
const filled = (value, written = num) => written(value, Math.abs(value) >= 1 ? 3 : 2); // in a formula, which is to add up
const prob = (p) => (p === null || p === undefined ? "–" : p >= 0.9995 ? "1.00" : p >= 0.01 ? p.toFixed(p >= 0.1 ? 2 : 3).slice(1) : p >= 5e-4 ? p.toFixed(3).slice(1) : p === 0 ? "0" : num(p, 1));
const counted = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;
const codePoint = (char) => "U+" + char.codePointAt(0).toString(16).toUpperCase().padStart(4, "0");
const quoted = (text) => {
  const shown = [...text.slice(0, 60)].map((c) => (c === "\n" ? "⏎" : c === "\t" ? "→" : HIDDEN.test(c) ? codePoint(c) : c)).join("");
  return "`" + (shown || "∅") + (text.length > 60 ? "…" : "") + "`";
};

/* Text that stands for itself, as nodes: what cannot be seen in it, or turns its direction, becomes a mark. */
const withMarks = (text) => text.split(new RegExp(`(${HIDDEN.source})`, "u")).map((part, place) => (place % 2 ? el("span", "hm-ctl", codePoint(part)) : part));

/* A token's characters as nodes; returns the pieces split at newlines (a newline ends the piece it is in). */
function pieces(token) {
  const out = [document.createDocumentFragment()];
  let run = "";
  const flush = () => { if (run) { out.at(-1).append(run); run = ""; } };
  const mark = (cls, text, shown) => {
    flush();
    const node = el("span", cls, text);
    if (shown) node.dataset.mark = shown;
    out.at(-1).append(node);
  };
  for (const char of token.text.slice(0, LONGEST)) {
    if (char === "\n") { mark("hm-nl", "", "⏎"); out.push(document.createDocumentFragment()); }
    else if (char === " ") mark("hm-ws", " ", "·");
    else if (char === "\t") mark("hm-ws", "\t", "→");
    else if (HIDDEN.test(char)) mark("hm-ctl", codePoint(char));
    else run += char;
  }
  flush();
  if (token.text.length > LONGEST) mark("hm-ctl", `… ${(token.text.length - LONGEST).toLocaleString("en")} more characters`);
  if (!token.text) mark("hm-ctl", "∅");
  if (out.length > 1 && !out.at(-1).hasChildNodes()) out.pop();
  return out;
}
