/* Text and numbers as people read them. Text of a model enters the page by textContent only. */
const LONGEST = 2000; // characters of one token that are shown
// What cannot be seen: controls, everything that Unicode says to ignore (joiners, selectors, tags, marks and overrides of
// direction, fillers, soft hyphens), half characters, the blank of Braille.
const INVISIBLE = "[\\p{Cc}\\p{Cs}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}\\u2800\\ufff9-\\ufffd]";
const scripts = (names) => names.split(" ").map((name) => `\\p{scx=${name}}`).join("");
const JOINED = scripts("Arab Syrc Mong Nkoo Mand Rohg Adlm Deva Beng Guru Gujr Orya Taml Telu Knda Mlym Sinh Khmr Mymr Tibt Java Bali");
const RIGHT_TO_LEFT = scripts("Arab Hebr Syrc Thaa Nkoo Samr Mand Adlm Rohg");
const UNSPACED = scripts("Thai Laoo Khmr Mymr");
const near = "[^\\p{L}\\p{Cf}\\n]{0,3}"; // what may stand between a mark of direction and the letter that needs it
// Invisible characters where their script needs them: there they hide nothing, and a mark would tear the word apart.
const NEEDED = [
  "(?<=\\p{Extended_Pictographic}[\\ufe0f\\u{1f3fb}-\\u{1f3ff}]?)\\u200d(?=\\p{Extended_Pictographic})", // families, professions
  "(?<=\\p{Emoji})(?<![0-9#*])[\\ufe0e\\ufe0f]|(?<=[0-9#*])\\ufe0f(?=\\u20e3)", // in colour, or not; keycaps
  "(?<=\\u{1f3f4})\\u{e0067}\\u{e0062}(?:\\u{e0065}\\u{e006e}\\u{e0067}|\\u{e0073}\\u{e0063}\\u{e0074}|\\u{e0077}\\u{e006c}\\u{e0073})\\u{e007f}", // England, Scotland, Wales
  `(?<=[${JOINED}])\\u200d|(?<=[${JOINED}])\\u200c(?=[${JOINED}])`, // half forms, and words that do not join
  "(?<=\\p{Ideographic})[\\ufe00-\\ufe02\\u{e0100}-\\u{e01ef}]|(?<=\\p{Sm})\\ufe00", // variants of a character
  "(?<=[\\u1820-\\u18aa])[\\u180b-\\u180f]", // Mongolian
  `(?<=(?!\\u061c)[${RIGHT_TO_LEFT}]${near})[\\u061c\\u200e\\u200f]|[\\u061c\\u200e\\u200f](?=${near}(?!\\u061c)[${RIGHT_TO_LEFT}])`,
  `(?<=[${UNSPACED}])\\u200b(?=[${UNSPACED}])`, // where a line may break
].join("|");
const PLAIN = /^[\n\t -~]*$/;
const UNSEEN_OR_NEEDED = new RegExp(`(?:${NEEDED})|(${INVISIBLE})`, "gu");


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
  const places = hidden(text);
  let shown = "", count = 0, at = 0;
  for (const c of text) { // by code points, so that none is cut in two
    if (count === 60) break;
    shown += c === "\n" ? "⏎" : c === "\t" ? "→" : places.has(at) ? codePoint(c) : c;
    at += c.length; count += 1;
  }
  return "`" + (shown || "∅") + (at < text.length ? "…" : "") + "`";
};

/* Places in the text of characters that are to be marked; line feeds and tabs have marks of their own. */
function hidden(text) {
  const places = new Set();
  if (!PLAIN.test(text)) for (const found of text.matchAll(UNSEEN_OR_NEEDED)) if (found[1] && found[1] !== "\n" && found[1] !== "\t") places.add(found.index);
  return places;
}

/* The characters [from, to) of a text as fragments, one for each line; a newline ends the fragment it is in. Each node in
   them says as `source` which characters it stands for. `places` are those of `hidden`; `spaced`: white space is marked;
   `classes(place)`, where it is given, is the class that the character at a place has. */
const SPACE = /[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/; // looks like a space, and is another character
function fragments(text, from, to, places, spaced, classes) {
  const out = [document.createDocumentFragment()];
  let run = "", cls = "";
  const put = (node, source) => { node.source = source; out.at(-1).append(node); return node; };
  const flush = () => {
    if (!run) return;
    const words = document.createTextNode(run);
    words.source = run;
    out.at(-1).append(cls ? add(el("span", cls), words) : words);
    run = "";
  };
  const mark = (kind, shown, source, sign) => {
    flush();
    const node = put(el("span", kind, shown), source);
    if (sign) node.dataset.mark = sign;
  };
  for (let at = from; at < to;) {
    const char = String.fromCodePoint(text.codePointAt(at));
    if (char === "\n") { mark("hm-nl", "", char, "⏎"); out.push(document.createDocumentFragment()); }
    else if (char === "\t") mark("hm-ws", char, char, "→");
    else if (spaced && char === " ") mark("hm-ws", char, char, "·");
    else if (spaced && SPACE.test(char)) mark("hm-ws", char, char, "°");
    else if (places.has(at)) mark("hm-ctl", codePoint(char), char);
    else {
      const next = classes ? classes(at) : "";
      if (next !== cls) { flush(); cls = next; }
      run += char;
    }
    at += char.length;
  }
  flush();
  return out;
}
const cut = (count) => el("span", "hm-ctl", `… ${count.toLocaleString("en")} more characters`);

/* Text that stands for itself, as nodes: what cannot be seen in it, or turns its direction, becomes a mark. */
function withMarks(text) {
  const places = hidden(text), nodes = [];
  let from = 0;
  for (const at of places) {
    const char = String.fromCodePoint(text.codePointAt(at));
    nodes.push(text.slice(from, at), el("span", "hm-ctl", codePoint(char)));
    from = at + char.length;
  }
  return [...nodes, text.slice(from)];
}

/* A token's characters as fragments, one for each line, with nothing around them. */
function pieces(token) {
  const text = token.text.slice(0, LONGEST), out = fragments(text, 0, text.length, hidden(text), true);
  if (token.text.length > LONGEST) out.at(-1).append(cut(token.text.length - LONGEST));
  if (!token.text) out.at(-1).append(el("span", "hm-ctl", "∅"));
  if (out.length > 1 && !out.at(-1).hasChildNodes()) out.pop();
  return out;
}
