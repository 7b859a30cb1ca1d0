// The five plots over nights, from the runs that the filters leave.
import { accuracy, alarms, bySet, days, estimate, lambda, rate } from './nights.js';
import { count, fixed, quantity, spaced } from './words.js';

/** @typedef {import('./nights.js').Run} Run */
/** @typedef {import('./nights.js').Choice} Choice */
/** @typedef {import('./plots.js').Plot} Plot */
/** @typedef {import('./plots.js').Series} Series */

const COLORS = ['one', 'two', 'three', 'four', 'five', 'six'];
/** Reasons with a bar of their own. */
const MOST_REASONS = 5;
/** As `t3b drift` alarms. */
const PSI_ALARM = 0.1;

/**
 * @param {Run[]} runs not empty @param {Choice} choice @param {(day: number) => void} open
 * @returns {Plot[]}
 */
export function charts(runs, choice, open) {
  const [first, last] = days(runs);
  const axis = Array.from({ length: last - first + 1 }, (_, k) => first + k);
  const sets = [...bySet(runs)].slice(0, COLORS.length).map(([set, nights], k) => ({ set, nights, color: COLORS[k] }));
  /** @type {Nights} */
  const view = { axis, sets, open, choice, runs };
  return [accuracyPlot(view), lambdaPlot(view), driftPlot(view), reasonsPlot(view), ratePlot(view)];
}

/** How many sets there are beyond those with a colour. @param {Run[]} runs */
export const undrawn = (runs) => Math.max(bySet(runs).size - COLORS.length, 0);

/** @typedef {{axis: number[], sets: {set: string, nights: Map<number, Run>, color: string}[], open: (day: number) => void, choice: Choice, runs: Run[]}} Nights */

/** @typedef {{value: number, low: number | null, high: number | null}} Point */

/** The points without their intervals, where several sets would cover each other's. @param {Nights} view @param {Point | undefined} point */
const bare = (view, point) => point && (view.sets.length > 1 ? { ...point, low: null, high: null } : point);

/** A series with the ends of its intervals; none where there is no value. @param {Nights} view @param {Map<number, Run>} nights @param {(run: Run) => Point | undefined} of @param {Omit<Series, 'values'>} rest @returns {Series[]} */
function ranged(view, nights, of, rest) {
  const points = view.axis.map((day) => {
    const run = nights.get(day);
    return run && of(run);
  });
  if (!points.some(Boolean)) return [];
  const part = (/** @type {'value' | 'low' | 'high'} */ name) => points.map((point) => point?.[name] ?? null);
  return [{ ...rest, values: part('value'), low: part('low'), high: part('high') }];
}

/** @param {Nights} view @param {string} set @param {string} what */
const label = (view, set, what) => (view.sets.length > 1 ? `${set}: ${what}` : what);

/** @param {Nights} view @returns {Plot} */
function accuracyPlot(view) {
  const scaled = (/** @type {Point | undefined} */ point) =>
    point && { value: 100 * point.value, low: point.low == null ? null : 100 * point.low, high: point.high == null ? null : 100 * point.high };
  const series = view.sets.flatMap(({ set, nights, color }, k) => {
    const guess = view.sets.length > 1 ? color : COLORS[(k + 1) % COLORS.length];
    return [
      ...ranged(view, nights, (run) => scaled(accuracy(run, view.choice)), { label: label(view, set, 'measured'), color }),
      ...ranged(view, nights, (run) => bare(view, scaled(estimate(run, view.choice))), { label: label(view, set, 'estimated without labels'), color: guess, dashed: true }),
    ];
  });
  const images = view.choice.images === 'corrupted' ? 'corrupted images, mean over corruptions' : 'clean images';
  return {
    title: 'Accuracy',
    axis: 'right answers, %',
    note: `Share of ${images} that ${view.choice.method || 'each run’s own method'} names rightly; shaded: 95 % interval. The estimate comes from the model’s own confidence and needs no labels; where pictures have become harder and the model has not noticed, it is too high.`,
    days: view.axis,
    series,
    tell: (value) => `${value.toFixed(1)} %`,
    range: [null, 100.5],
    open: view.open,
  };
}

/** @param {Nights} view @returns {Plot} */
function lambdaPlot(view) {
  const series = view.sets.flatMap(({ set, nights, color }) => ranged(view, nights, lambda, { label: label(view, set, 'weight on the expert'), color }));
  return {
    title: 'Lambda: weight on the expert',
    axis: 'lambda (no unit)',
    note: 'Mean coefficient over the night’s clean images; shaded: where nine of ten images lie. 0 is the pretrained model alone, 1 the expert alone.',
    days: view.axis,
    series,
    tell: (value) => value.toFixed(3),
    open: view.open,
  };
}

/** @param {Nights} view @returns {Plot} */
function driftPlot(view) {
  const psi = (/** @type {Run | undefined} */ run, /** @type {string} */ name) => run?.drift.find((one) => one.quantity === name)?.psi ?? null;
  const most = (/** @type {Run | undefined} */ run) => (run?.drift.some((one) => one.psi != null) ? Math.max(...run.drift.map((one) => one.psi ?? 0)) : null);
  const [only] = view.sets;
  const names = [...new Set(view.runs.flatMap((run) => run.drift.filter((one) => one.psi != null).map((one) => one.quantity)))];
  const series =
    view.sets.length === 1
      ? names.slice(0, COLORS.length).map((name, k) => ({ label: quantity(name), color: COLORS[k], values: view.axis.map((day) => psi(only.nights.get(day), name)) }))
      : view.sets.map(({ set, nights, color }) => ({ label: `${set}: largest`, color, values: view.axis.map((day) => most(nights.get(day))) }));
  const flagged = new Set(view.sets.flatMap(({ nights }) => [...nights.values()].filter((run) => alarms(run).length > 0).map((run) => run.day)));
  return {
    title: 'Drift: how unlike the reference nights',
    axis: 'PSI, log scale',
    note: 'Population stability index of each quantity against the nights it was compared with; below 0.001 is drawn at 0.001. An alarm needs an index of 0.1 or more and statistical significance.',
    days: view.axis,
    series: series.filter((one) => one.values.some((value) => value != null)),
    tell: (value) => fixed(value, 3),
    log: true,
    mark: { value: PSI_ALARM, label: 'alarm from 0.1 on' },
    flagged,
    flag: 'night with an alarm',
    open: view.open,
  };
}

/** @param {Nights} view @returns {Plot} */
function reasonsPlot(view) {
  const totals = new Map();
  for (const run of view.runs) for (const row of run.reasons) totals.set(row.reason_code, (totals.get(row.reason_code) ?? 0) + row.n);
  const names = [...totals].sort((a, b) => b[1] - a[1]).map(([name]) => name);
  const own = names.length > MOST_REASONS + 1 ? names.slice(0, MOST_REASONS) : names;
  const rest = names.slice(own.length);
  const of = (/** @type {number} */ day, /** @type {string[]} */ wanted) => {
    const nights = view.sets.flatMap(({ nights }) => nights.get(day) ?? []);
    if (nights.length === 0) return null;
    return nights.flatMap((run) => run.reasons).filter((row) => wanted.includes(row.reason_code)).reduce((sum, row) => sum + row.n, 0);
  };
  const stacks = [...own.map((name) => /** @type {[string, string[]]} */ ([spaced(name), [name]])), ...(rest.length ? [/** @type {[string, string[]]} */ (['other reasons', rest])] : [])];
  let base = view.axis.map(() => 0);
  const series = stacks.map(([name, wanted], k) => {
    const values = view.axis.map((day) => of(day, wanted));
    const made = { label: name, color: COLORS[k], values, base, bars: true };
    base = base.map((sum, place) => sum + (values[place] ?? 0));
    return made;
  });
  return {
    title: 'Left out, by reason',
    axis: 'images left out',
    note: series.length ? 'Images in quarantine, stacked by reason; an image that failed under one corruption only counts once for each. docs/errors.md says what a reason means.' : 'No image was left out.',
    days: view.axis,
    series,
    tell: (value) => count(value),
    range: [0, null],
    whole: true,
    open: view.open,
  };
}

/** @param {Nights} view @returns {Plot} */
function ratePlot(view) {
  const series = view.sets.map(({ set, nights, color }) => ({
    label: label(view, set, 'scored'),
    color,
    values: view.axis.map((day) => {
      const run = nights.get(day);
      return run ? rate(run) : null;
    }),
  }));
  return {
    title: 'Throughput',
    axis: 'scored a second',
    note: 'Images scored a second by one process, every corruption counted and all methods together, reading and writing included.',
    days: view.axis,
    series: series.filter((one) => one.values.some((value) => value != null)),
    tell: (value) => `${fixed(value, 1)} a second`,
    range: [0, null],
    open: view.open,
  };
}

