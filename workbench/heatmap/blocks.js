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
   `hang`: characters before an item's words. */
function blocks(lines) {
  let fenced = false;
  return lines.map((line) => {
    const letter = LETTERS.exec(line), fromRight = letter !== null && FROM_RIGHT.test(letter[0]);
    const fence = FENCE.test(line);
    if (fence) fenced = !fenced;
    if (fence || fenced) return { kind: "fence", level: 0, hang: 0, fromRight: false };
    const heading = HEADING.exec(line), item = ITEM.exec(line);
    if (!line.trim()) return { kind: "blank", level: 0, hang: 0, fromRight: false };
    if (heading) return { kind: "heading", level: heading[1].length, hang: 0, fromRight };
    if (/^\s*([-*_])(?:\s*\1){2,}\s*$/.test(line)) return { kind: "rule", level: 0, hang: 0, fromRight };
    if (item) return { kind: "item", level: Math.min(6, Math.floor(item[1].replace(/\t/g, "    ").length / 2)), hang: item[0].length, fromRight };
    if (/^\s*>/.test(line)) return { kind: "quote", level: 0, hang: 0, fromRight };
    if (/^\s*\|.*\|\s*$/.test(line)) return { kind: "table", level: 0, hang: 0, fromRight: false };
    return { kind: "paragraph", level: 0, hang: 0, fromRight };
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
