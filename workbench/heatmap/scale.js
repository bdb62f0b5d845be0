/* From numbers to colours: one view of one attempt on its scale. */
const MOST = 0.8; // of what all tokens add up to, that the tokens counted as strongest hold
const SCALES = ["linear", "asinh", "rank"];
const HUES = { p: "--hm-pos", n: "--hm-neg", m: "--hm-mag" };
const viewOf = (payload, name) => payload.views.find((view) => view.name === name);
const sizesOf = (view) => view.values.map((value) => (Number.isFinite(value) ? Math.abs(value - (view.centre || 0)) : NaN));
const percentile99 = (sizes) => {
  const sorted = Float64Array.from(sizes.filter((size) => Number.isFinite(size))).sort();
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.ceil(0.99 * sorted.length) - 1)] : 0;
};

/* One end for all attempts of a group, where each of them has the view; worked out once per group. */
const pooledLimits = new WeakMap();
function pooled(group, name) {
  if (!group || group.length < 2 || !group.every((one) => viewOf(one, name))) return undefined;
  if (!pooledLimits.has(group)) pooledLimits.set(group, new Map());
  const known = pooledLimits.get(group);
  if (!known.has(name)) known.set(name, percentile99(group.flatMap((one) => sizesOf(viewOf(one, name)))));
  return known.get(name);
}

/* Colours turn at `centre`; `limit` is the scale's end, counted from there; `quiet(i)`: below the noise floor;
   `strength(i)` in 0..1. A view whose range has ends is drawn on that range; the others on the scale that they share
   (the group's, or the host's `limits`), and only where there is none on what this attempt's values need. */
function lens(payload, name, scale, group) {
  const view = viewOf(payload, name), values = view.values, centre = view.centre || 0, size = sizesOf(view);
  const ends = (view.range || []).filter((end) => Number.isFinite(end) && end !== centre);
  const reach = view.signed && ends.length < 2 ? 0 : Math.max(0, ...ends.map((end) => Math.abs(end - centre)));
  const shared = pooled(group, name) || (payload.limits || {})[name];
  const limit = reach > 0 ? reach : shared > 0 ? shared : percentile99(size) || 1;
  const floor = view.unit === "nats" ? payload.noise_floor || 0 : 0;
  const quiet = (i) => !Number.isFinite(size[i]) || size[i] <= floor;
  let order = null, rank = null; // worked out when they are asked for: the map asks for none of its rows
  const ordered = () => (order = order || values.map((_, i) => i).filter((i) => !quiet(i)).sort((a, b) => size[b] - size[a] || a - b));
  const ranked = () => (rank = rank || new Map(ordered().map((index, place) => [index, 1 - place / order.length])));
  const knee = Math.max(floor, limit / 50);
  const strength = (i) => {
    const shown = Math.min(size[i], limit);
    if (scale === "rank") return ranked().get(i) || 0;
    return scale === "asinh" ? Math.asinh(shown / knee) / Math.asinh(limit / knee) : shown / limit;
  };
  const kind = (i) => (quiet(i) ? "q" : !view.signed ? "m" : values[i] > centre ? "p" : "n");
  const leading = () => { // how many of the strongest hold most of the whole: TokenCredit.pivots
    const whole = ordered().reduce((sum, i) => sum + size[i], 0);
    let held = 0, count = 0;
    while (count < ordered().length && held < MOST * whole) { held += size[ordered()[count]]; count += 1; }
    return count;
  };
  const clipped = size.filter((distance) => distance > limit * 1.0001).length;
  const own = reach > 0 ? "fixed" : shared > 0 ? "shared" : "attempt";
  return { view, values, centre, limit, floor, own, quiet, ordered, leading, strength, kind, clipped };
}
const colour = (look, i) => (look.kind(i) === "q" ? "var(--hm-quiet-bg)"
  : `color-mix(in srgb, var(${HUES[look.kind(i)]}) ${(look.strength(i) * 100).toFixed(1)}%, var(--hm-bg))`);

const plus = (look, value) => (look.view.signed && look.centre === 0 && value > 0 ? "+" : "");
const withUnit = (view, text) => text + (view.unit ? " " + view.unit : "");
const shortText = (look, i) => plus(look, look.values[i]) + num(look.values[i]);
const valueText = (look, i, show = num) => withUnit(look.view, plus(look, look.values[i]) + show(look.values[i])) +
  (look.quiet(i) && look.floor ? ", below the noise floor" : "");

/* Sums are only of views that add up over tokens: not of weights, and not of cumulative credit, which is a sum already. */
const addsUp = (view) => view.unit === "nats" && view.name !== "evidence";
/* What stands above the noise floor, added up. */
const total = (look, positions) => positions.reduce((sum, i) => sum + (look.quiet(i) ? 0 : look.values[i]), 0);

/* The strip of colour with its two ends, and in words what the scale is and which marks there are. */
function drawLegend(legend, look, second, scale) {
  legend.replaceChildren();
  const ramps = [[look, second ? "above: " : ""]].concat(second ? [[second, "below: "]] : []);
  for (const [shown, where] of ramps) {
    const strip = el("i");
    strip.dataset.kind = shown.view.signed ? "signed" : "unsigned";
    const high = shown.centre + shown.limit, low = shown.view.signed ? shown.centre - shown.limit : shown.centre;
    add(legend, add(el("span", "hm-ramp"), where + (low === 0 ? "0" : num(low)), strip, withUnit(shown.view, plus(shown, high) + num(high))));
  }
  const parts = [{ fixed: "the view's whole range", shared: "one scale for all attempts shown", attempt: "scale of this attempt" }[look.own]];
  if (look.clipped) parts[0] += `, ${counted(look.clipped, "token")} clipped at the 99th percentile`;
  if (scale === "rank") parts.push("colour by rank, not by size");
  legend.append(el("span", "", parts.join(" · ")));
  if (look.view.signed) legend.append(el("span", "", look.centre === 0 ? "solid line +, dashed −" : `solid line above ${num(look.centre)}, dashed below`));
  if (look.floor) legend.append(el("span", "hm-key-quiet", `grey: noise, below ${num(look.floor)}`));
  if (second) legend.append(el("span", "", "boxed: the two disagree in sign, both above 5 % of their scales"));
}
