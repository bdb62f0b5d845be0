/* Characters that several tokens spell: the letters of a flag, the people of a family, a syllable of Devanagari, a letter and its
   accent, the bytes of one character. Each is drawn once, whole, with a stripe of colour for each of its tokens. */
const MOST_TOKENS = 16; // of one character; a longer pile of accents is left to its tokens
const LAM_ALEF = /\u0644\p{M}*[\u0622\u0623\u0625\u0627]\p{M}*/gu; // two letters that are always one glyph

/* Ranges of the joined text: [{from, to, first, last}] with the first and the last token of each, in order, without overlap.
   A token that holds the first bytes of a character has no text of its own: it is empty, and the character stands behind it. */
function clusters(texts, text) {
  if (PLAIN.test(text)) return [];
  const segments = new Intl.Segmenter(undefined, { granularity: "grapheme" }).segment(text), starts = [];
  let place = 0;
  for (const one of texts) { starts.push(place); place += one.length; }
  const pairs = [...text.matchAll(LAM_ALEF)].map((found) => [found.index, found.index + found[0].length]);
  const out = [];
  let pair = 0, empty = -1; // the first of the empty tokens before this one
  texts.forEach((one, i) => {
    if (!one) { if (empty < 0) empty = i; return; }
    const at = starts[i], before = empty;
    empty = -1;
    if (at > 0 || before >= 0) {
      while (pair < pairs.length && pairs[pair][1] <= at) pair += 1;
      const glyph = segments.containing(at);
      let from = glyph.index, to = from + glyph.segment.length;
      if (pair < pairs.length && pairs[pair][0] < at) [from, to] = [Math.min(from, pairs[pair][0]), Math.max(to, pairs[pair][1])];
      const spelt = before >= 0 && text.charCodeAt(at) > 127; // its first bytes are the empty tokens
      const last = out.at(-1);
      if (last && from < last.to) { // goes on: a token more of the same character
        if (last.to > at || spelt) Object.assign(last, { to: Math.max(to, last.to), last: i });
      } else if ((from < at || spelt) && !/[\r\n]/.test(text.slice(from, to))) {
        let first = i; // the token that the character begins in, or the first of its bytes
        while (first > 0 && starts[first] > from) first -= 1;
        while (first > 0 && !texts[first]) first -= 1;
        out.push({ from, to, first: spelt && from === at ? before : first, last: i });
      }
    }
  });
  return out.filter((one) => one.last - one.first < MOST_TOKENS);
}
