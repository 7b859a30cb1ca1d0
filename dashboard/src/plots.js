// Plots over nights: one uPlot each, with a legend and a line of values of our own, which the keyboard reaches too.
import uPlot from 'uplot';
import { longDay, make, shortDay } from './words.js';

const DAY_S = 86_400;
const HEIGHT_PX = 240;
/** Steps of an axis of counts. */
const WHOLE = [1, 2, 5].flatMap((n) => Array.from({ length: 9 }, (_, k) => n * 10 ** k)).sort((a, b) => a - b);
/** What stands where the values of a night come. */
const HINT = '\u00a0';

/**
 * @typedef {object} Series
 * @property {string} label
 * @property {string} color a name of the palette
 * @property {(number | null)[]} values one a day
 * @property {(number | null)[]} [low] lower ends of intervals
 * @property {(number | null)[]} [high] upper ends
 * @property {boolean} [dashed]
 * @property {boolean} [bars] drawn from 0, over the series before it where `base` says so
 * @property {(number | null)[]} [base] where a bar begins
 */
/**
 * @typedef {object} Plot
 * @property {string} title
 * @property {string} axis what the vertical axis is, with its unit
 * @property {string} note what the marks mean
 * @property {number[]} days
 * @property {Series[]} series
 * @property {(value: number) => string} tell a value with its unit
 * @property {[number | null, number | null]} [range] ends of the vertical axis that are fixed
 * @property {boolean} [log]
 * @property {boolean} [whole] counts: no fractions on the axis
 * @property {{value: number, label: string}} [mark] a level to compare with
 * @property {Set<number>} [flagged] days with a ring
 * @property {string} [flag] what a ring means
 * @property {(day: number) => void} open
 */

/** All plots that stand on the page, to be drawn again when the width or the colours change. @type {Set<() => void>} */
const standing = new Set();

/** Forgets the plots of a page that is left. */
export const clear = () => standing.clear();

/** @param {string} name */
const ink = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** @param {string} color @param {number} alpha 0 to 1 */
const faint = (color, alpha) => `${color}${Math.round(alpha * 255).toString(16).padStart(2, '0')}`;

let redraw = 0;
function redrawAll() {
  cancelAnimationFrame(redraw);
  redraw = requestAnimationFrame(() => standing.forEach((draw) => draw()));
}
addEventListener('resize', redrawAll);
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redrawAll);

/** What a plot says in one sentence, for whoever cannot see it. @param {Plot} plot */
function summary(plot) {
  const parts = plot.series.map((one) => {
    const values = /** @type {number[]} */ (one.values.filter((value) => value != null));
    if (values.length === 0) return `${one.label}: no values`;
    const [least, most] = [Math.min(...values), Math.max(...values)];
    return `${one.label}: ${values.length} nights, from ${plot.tell(least)} to ${plot.tell(most)}, last ${plot.tell(values[values.length - 1])}`;
  });
  return `${plot.title}. ${parts.join('; ')}. Arrow keys move from night to night, Enter opens one.`;
}

/** Rows of uPlot's data and what belongs to them. @param {Plot} plot */
function layers(plot) {
  /** @type {(number | null)[][]} */
  const data = [plot.days.map((day) => day * DAY_S)];
  /** @type {uPlot.Series[]} */
  const series = [{}];
  /** @type {uPlot.Band[]} */
  const bands = [];
  const floor = (/** @type {number | null} */ value) => (plot.log && value != null ? Math.max(value, 1e-3) : value);
  const bars = /** @type {any} */ (uPlot.paths.bars)({ size: [0.75, 24], align: 0 });
  // Stacked bars are drawn from the tallest down.
  const order = plot.series.some((one) => one.bars) ? [...plot.series].reverse() : plot.series;
  for (const one of order) {
    const color = ink(one.color);
    if (one.low && one.high) {
      const place = data.length;
      data.push(one.high, one.low);
      for (let side = 0; side < 2; side += 1) series.push({ stroke: faint(color, 0.35), width: 1, points: { show: false } });
      bands.push({ series: [place, place + 1], fill: faint(color, 0.16) });
      lone(plot, one, series, place, color);
    }
    if (one.bars) {
      const base = one.base;
      data.push(one.values.map((value, place) => (value == null ? null : value + (base?.[place] ?? 0))));
      series.push({ stroke: color, fill: color, width: 0, paths: bars, points: { show: false } });
    } else {
      data.push(one.values.map(floor));
      const hollow = one.dashed ? ink('paper') : color;
      series.push({ stroke: color, width: 2, dash: one.dashed ? [5, 4] : undefined, spanGaps: false, points: { show: true, size: 5, stroke: color, fill: hollow } });
    }
  }
  return { data, series, bands };
}

/** A night alone between two missing ones has a band of no width: its interval is drawn as a bar. */
function lone(/** @type {Plot} */ plot, /** @type {Series} */ one, /** @type {uPlot.Series[]} */ series, /** @type {number} */ place, /** @type {string} */ color) {
  const [low, high] = [one.low ?? [], one.high ?? []];
  const alone = plot.days.map((_, k) => low[k] != null && low[k - 1] == null && low[k + 1] == null);
  if (!alone.some(Boolean)) return;
  series[place].points = {
    show: (/** @type {uPlot} */ u) => {
      const { ctx } = u;
      ctx.save();
      ctx.strokeStyle = faint(color, 0.55);
      ctx.lineWidth = 2 * devicePixelRatio;
      ctx.beginPath();
      alone.forEach((is, k) => {
        if (!is) return;
        const x = u.valToPos(plot.days[k] * DAY_S, 'x', true);
        ctx.moveTo(x, u.valToPos(/** @type {number} */ (low[k]), 'y', true));
        ctx.lineTo(x, u.valToPos(/** @type {number} */ (high[k]), 'y', true));
      });
      ctx.stroke();
      ctx.restore();
      return false;
    },
  };
}

/** Lines and rings over the series. @param {Plot} plot @param {uPlot} u */
function marks(plot, u) {
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio;
  ctx.save();
  if (plot.mark) {
    const y = u.valToPos(plot.mark.value, 'y', true);
    if (y >= bbox.top && y <= bbox.top + bbox.height) {
      ctx.strokeStyle = ink('bad');
      ctx.lineWidth = 1.5 * ratio;
      ctx.setLineDash([3 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
    }
  }
  ctx.setLineDash([]);
  ctx.strokeStyle = ink('bad');
  ctx.lineWidth = 2 * ratio;
  plot.days.forEach((day, k) => {
    if (!plot.flagged?.has(day)) return;
    const values = plot.series.map((one) => one.values[k]).filter((value) => value != null);
    if (values.length === 0) return;
    ctx.beginPath();
    ctx.arc(u.valToPos(day * DAY_S, 'x', true), u.valToPos(Math.max(...values), 'y', true), 8 * ratio, 0, 2 * Math.PI);
    ctx.stroke();
  });
  ctx.restore();
}

/** Names of days along the axis; the year where it begins. */
const dayLabels = (/** @type {uPlot} */ _, /** @type {number[]} */ splits) =>
  splits.map((at, k) => {
    const day = Math.round(at / DAY_S);
    const year = (/** @type {number} */ seconds) => new Date(seconds * 1000).getUTCFullYear();
    return k === 0 || year(at) !== year(splits[k - 1]) ? `${shortDay(day)}\n${year(at)}` : shortDay(day);
  });

/** @param {Plot} plot @param {number} width */
function options(plot, width) {
  const { series, bands } = layers(plot);
  const [stroke, grid] = [ink('soft'), ink('line')];
  const font = `12px ${getComputedStyle(document.body).fontFamily}`;
  const whole = plot.days.length > 1 ? undefined : [plot.days[0] * DAY_S - DAY_S, plot.days[0] * DAY_S + DAY_S];
  const scale = plot.log
    ? { distr: 3, range: (/** @type {uPlot} */ _, /** @type {number} */ low, /** @type {number} */ high) => [Math.min(0.001, low || 0.001), Math.max(1, high * 1.5)] }
    : { range: (/** @type {uPlot} */ _, /** @type {number} */ low, /** @type {number} */ high) => ends(plot, low, high) };
  const decades = (/** @type {uPlot} */ _, /** @type {number} */ __, /** @type {number} */ low, /** @type {number} */ high) => [0.001, 0.01, 0.1, 1, 10, 100].filter((at) => at >= low && at <= high);
  const splits = plot.log ? { splits: decades } : plot.whole ? { incrs: WHOLE } : {};
  return /** @type {uPlot.Options} */ (/** @type {unknown} */ ({
    width,
    height: HEIGHT_PX,
    tzDate: (/** @type {number} */ at) => uPlot.tzDate(new Date(at * 1000), 'UTC'),
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: false }, sync: { key: 'nights', setSeries: false } },
    scales: { x: { time: true, range: whole ?? ((/** @type {uPlot} */ _, /** @type {number} */ low, /** @type {number} */ high) => [low - DAY_S / 2, high + DAY_S / 2]) }, y: scale },
    axes: [
      { stroke, font, space: 64, incrs: [1, 2, 7, 14, 28, 91, 182, 364].map((n) => n * DAY_S), values: dayLabels, grid: { show: false }, ticks: { stroke: grid }, size: 52 },
      { stroke, font, size: 54, ...splits, label: plot.axis, labelFont: font, labelSize: 20, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid } },
    ],
    series,
    bands,
    hooks: { draw: [(/** @type {uPlot} */ u) => marks(plot, u)] },
  }));
}

/** Ends of the vertical axis: what is fixed, else the values with some room. @param {Plot} plot @param {number} low @param {number} high @returns {[number, number]} */
function ends(plot, low, high) {
  const [least, most] = plot.range ?? [null, null];
  if (low == null || high == null) return [least ?? 0, most ?? 1];
  const room = Math.max((high - low) * 0.1, Math.abs(high) * 0.01, 1e-6);
  const bottom = least != null ? least : low - room;
  const top = most != null ? Math.min(most, high + room) : high + room;
  return [bottom, Math.max(top, bottom + 1e-6)];
}

/** What the plot says of one day. @param {Plot} plot @param {number} place */
function valuesAt(plot, place) {
  const parts = plot.series.flatMap((one) => {
    const value = one.values[place];
    if (value == null || (one.bars && value === 0)) return [];
    const [low, high] = [one.low?.[place], one.high?.[place]];
    return [`${one.label} ${plot.tell(value)}${low != null && high != null ? ` (${plot.tell(low)} to ${plot.tell(high)})` : ''}`];
  });
  return `${longDay(plot.days[place])}: ${parts.length ? parts.join('; ') : 'nothing'}`;
}

/** @param {Plot} plot */
function legend(plot) {
  const entries = plot.series.map((one) => {
    const shape = one.bars ? 'bar' : one.dashed ? 'dashed' : 'solid';
    return make('li', {}, make('span', { class: `key ${shape} ink-${one.color}`, 'aria-hidden': 'true' }), one.label);
  });
  if (plot.mark) entries.push(make('li', {}, make('span', { class: 'key dashed ink-bad', 'aria-hidden': 'true' }), plot.mark.label));
  if (plot.flagged?.size) entries.push(make('li', {}, make('span', { class: 'key ring', 'aria-hidden': 'true' }), plot.flag ?? ''));
  return make('ul', { class: 'legend' }, ...entries);
}

/** A figure with its plot. @param {Plot} plot @returns {HTMLElement} */
export function figureOf(plot) {
  const place = make('div', { class: 'canvas' });
  const values = make('p', { class: 'values', 'aria-live': 'polite' }, HINT);
  const box = make('div', { class: 'plot', tabindex: 0, role: 'group', 'aria-label': summary(plot) }, place);
  const filled = plot.days.map((_, k) => k).filter((k) => plot.series.some((one) => one.values[k] != null));
  /** @type {uPlot | undefined} */
  let drawn;
  let at = -1;
  const show = (/** @type {number} */ k) => {
    at = k;
    values.textContent = k >= 0 ? valuesAt(plot, k) : HINT;
  };
  const draw = () => {
    drawn?.destroy();
    const made = options(plot, Math.max(place.clientWidth, 200));
    made.hooks = { ...made.hooks, setCursor: [(u) => u.cursor.idx != null && u.cursor.left != null && u.cursor.left >= 0 && show(u.cursor.idx)] };
    drawn = new uPlot(made, /** @type {uPlot.AlignedData} */ (/** @type {unknown} */ (layers(plot).data)), place);
    drawn.over.addEventListener('click', () => at >= 0 && filled.includes(at) && plot.open(plot.days[at]));
  };
  box.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (step) {
      const here = filled.indexOf(at);
      const next = here < 0 ? filled.length - 1 : Math.min(Math.max(here + step, 0), filled.length - 1);
      if (filled[next] === undefined || !drawn) return;
      event.preventDefault();
      show(filled[next]);
      drawn.setCursor({ left: drawn.valToPos(plot.days[at] * DAY_S, 'x'), top: 10 });
    } else if (event.key === 'Enter' && filled.includes(at)) plot.open(plot.days[at]);
  });
  standing.add(draw);
  requestAnimationFrame(draw);
  return make('figure', {}, make('h3', {}, plot.title), legend(plot), box, values, make('figcaption', {}, plot.note));
}
