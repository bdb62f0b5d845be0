/* How an attempt is laid out: as text (paragraphs, headings, lists, as Markdown has them) or as lines of code. Decoration only: no
   character is taken away, not even those that make the layout. */
const FENCE = /^ {0,3}(?:`{3,}|~{3,})/;
const ITEM = /^(\s*)(?:[-*+•]|\d{1,9}[.)])\s/;
const HEADING = /^ {0,3}(#{1,6})\s/;
const LETTERS = /\p{L}/u, FROM_RIGHT = new RegExp(`[${RIGHT_TO_LEFT}]`, "u");

/* Whether a text reads as prose; weighed by characters, so that a line of code in a long answer changes nothing. */
function isProse(text) {
  const whole = text.trim();
  if (/^[[{]/.test(whole)) { try { JSON.parse(whole); return false; } catch { /* not JSON: weighed as anything else */ } }
  let prose = 0, code = 0, fenced = false;
  for (const line of whole.split("\n")) {
    if (FENCE.test(line)) fenced = !fenced;
    else if (!fenced && line.trim()) {
      const signs = line.replace(/[^={}()[\]<>;:|\\/_+&^%$@~"']/g, "").length;
      const isCode = signs > line.length / 8 || /[{};]\s*$/.test(line) || (/^(?: {2}|\t)/.test(line) && !ITEM.test(line));
      if (isCode) code += line.length;
      else prose += line.length;
    }
  }
  return prose >= code;
}

/* The block that each line belongs to: {kind, level, hang, fromRight}. `level`: of a heading, or how deep an item of a list is;
   `hang`: characters before an item's words. A line without letters has the direction of the one before it. */
function blocks(lines) {
  let fenced = false, fromRight = false;
  return lines.map((line) => {
    const block = (kind, level = 0, hang = 0) => ({ kind, level, hang, fromRight });
    const fence = FENCE.test(line), opened = fenced, letter = LETTERS.exec(line);
    if (fence) fenced = !fenced;
    if (fence || opened) return { ...block("fence"), fromRight: false };
    if (letter) fromRight = FROM_RIGHT.test(letter[0]);
    const heading = HEADING.exec(line), item = ITEM.exec(line);
    if (!line.trim()) return block("blank");
    if (heading) return block("heading", heading[1].length);
    if (/^\s*([-*_])(?:\s*\1){2,}\s*$/.test(line)) return block("rule");
    if (item) return block("item", Math.min(6, Math.floor(item[1].replace(/\t/g, "    ").length / 2)), item[0].length);
    if (/^\s*>/.test(line)) return block("quote");
    if (/^\s*\|.*\|\s*$/.test(line)) return { ...block("table"), fromRight: false };
    return block("paragraph");
  });
}

/* Which characters of a text are strong or code, as `classes` of `fragments`. */
const EMPHASIS = /(`{1,3})[^`\n]{1,400}\1|\*\*(?=\S)[^\n]{0,400}?\S\*\*/g;
function emphasis(text, lines, kinds) {
  const styles = new Uint8Array(text.length), names = ["", "hm-mono", "hm-strong"];
  let start = 0;
  lines.forEach((line, number) => {
    if (kinds[number].kind !== "fence" && kinds[number].kind !== "table") {
      for (const found of line.matchAll(EMPHASIS)) styles.fill(found[1] ? 1 : 2, start + found.index, start + found.index + found[0].length);
    }
    start += line.length + 1;
  });
  return (place) => names[styles[place]];
}
