// The model of the page: runs joined with their figures, drift and quarantine, and what the filters leave of them.
import { dayOf } from './words.js';

/** @typedef {import('./tables.js').Row} Row */
/**
 * @typedef {object} Run
 * @property {Row} row its line of `runs`
 * @property {string} id
 * @property {number} day days since 1970
 * @property {string} set what it is about: its tags
 * @property {Row[]} lines its figures over the clean images and in the mean
 * @property {Row[]} drift
 * @property {Row[]} reasons quarantine rows by reason
 */
/**
 * @typedef {object} Choice what is chosen; empty means all
 * @property {string} modality @property {string} dataset @property {string} setting @property {string} site @property {string} name
 * @property {string} method empty: each run's own
 * @property {string} images `clean` or `corrupted`
 * @property {string} days how many days back, or empty
 */

/** Tags that can be chosen, with what they are called. */
export const TAGS = /** @type {const} */ ([
  ['modality', 'Modality'],
  ['dataset', 'Data set'],
  ['setting', 'Setting'],
  ['site', 'Site'],
  ['name', 'Pipeline'],
]);

const NO_TAG = '(none)';

/** What a run has as a tag. @param {Run} run @param {string} tag */
export const tagOf = (run, tag) => run.row[tag] ?? NO_TAG;

/** @param {Row[]} rows @returns {Map<string, Row[]>} */
function byRun(rows) {
  const found = new Map();
  for (const row of rows) {
    const list = found.get(row.run_id);
    if (list) list.push(row);
    else found.set(row.run_id, [row]);
  }
  return found;
}

/**
 * Joins the tables; oldest night first, runs of one day in the order of their completion.
 * @param {{runs: Row[], summary: Row[], drift: Row[], quarantine: Row[]}} tables @returns {Run[]}
 */
export function join(tables) {
  const [lines, drift, reasons] = [byRun(tables.summary), byRun(tables.drift), byRun(tables.quarantine)];
  const runs = tables.runs.map((row) => ({
    row,
    id: row.run_id,
    day: dayOf(row.run_date),
    set: ['modality', 'dataset', 'setting', 'site'].map((tag) => row[tag]).filter(Boolean).join(', ') || row.name || row.run_id,
    lines: lines.get(row.run_id) ?? [],
    drift: drift.get(row.run_id) ?? [],
    reasons: reasons.get(row.run_id) ?? [],
  }));
  return runs.sort((a, b) => a.day - b.day || compare(a.row.completed_at ?? '', b.row.completed_at ?? '') || compare(a.id, b.id));
}

/** @param {string} a @param {string} b */
const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

/** Methods that a run can be asked for: not the grid, not the bounds that read labels, not what both parents say. @param {Run[]} runs */
export function methods(runs) {
  const found = new Set();
  for (const run of runs) for (const line of run.lines) found.add(line.method);
  return [...found].filter((name) => name !== 'parents' && !name.startsWith('line_') && !name.startsWith('oracle_')).sort();
}

/** @param {Run[]} runs @param {Choice} choice */
export function chosen(runs, choice) {
  const last = runs.reduce((most, run) => Math.max(most, run.day), -Infinity);
  const first = choice.days ? last - Number(choice.days) + 1 : -Infinity;
  return runs.filter((run) => run.day >= first && TAGS.every(([tag]) => !choice[tag] || tagOf(run, tag) === choice[tag]));
}

/**
 * One figure of a run; `corruption` null is the mean over corruptions.
 * @param {Run} run @param {string} metric @param {string} method @param {string | null} corruption
 * @returns {{value: number, low: number | null, high: number | null, n: number, n_excluded: number} | undefined}
 */
export function figure(run, metric, method, corruption) {
  const is = (/** @type {Row} */ line) =>
    line.metric === metric && line.method === method && (line.corruption ?? null) === corruption && (corruption !== null || line.severity == null);
  return /** @type {any} */ (run.lines.find(is));
}

/** Accuracy against labels of the chosen method and images. @param {Run} run @param {Choice} choice */
export const accuracy = (run, choice) =>
  figure(run, 'top1', choice.method || run.row.primary_method, choice.images === 'corrupted' ? null : 'clean');

/** Accuracy estimated without labels: of the run's own method on clean images alone. @param {Run} run @param {Choice} choice */
export function estimate(run, choice) {
  const own = !choice.method || choice.method === run.row.primary_method;
  return own && choice.images !== 'corrupted' ? figure(run, 'top1_estimated', run.row.primary_method, 'clean') : undefined;
}

/** T3's coefficient on clean images: mean, 5th and 95th percentile. @param {Run} run */
export const lambda = (run) => figure(run, 'lambda_sample', 'parents', 'clean');

/** Share of (image, corruption) pairs that could not be scored. @param {Run} run */
export function leftOut(run) {
  const planned = run.row.n_scored + run.row.n_quarantined;
  return planned > 0 ? run.row.n_quarantined / planned : null;
}

/** Pairs scored a second by one process. @param {Run} run */
export const rate = (run) => (run.row.seconds > 0 ? run.row.n_scored / run.row.seconds : null);

/** Quantities that alarmed. @param {Run} run */
export const alarms = (run) => run.drift.filter((one) => one.is_alarm);

/** State of a night: the gravest first. @param {Run} run @returns {'over' | 'alarm' | 'bare' | 'fine'} */
export function state(run) {
  if (run.row.status !== 'complete') return 'over';
  if (alarms(run).length > 0) return 'alarm';
  return run.lines.length === 0 ? 'bare' : 'fine';
}

/** The last run of each day and set. @param {Run[]} runs @returns {Map<string, Map<number, Run>>} */
export function bySet(runs) {
  /** @type {Map<string, Map<number, Run>>} */
  const sets = new Map();
  for (const run of runs) {
    const days = sets.get(run.set) ?? new Map();
    days.set(run.day, run);
    sets.set(run.set, days);
  }
  return sets;
}

/** First and last day of runs. @param {Run[]} runs @returns {[number, number]} */
export const days = (runs) => [Math.min(...runs.map((run) => run.day)), Math.max(...runs.map((run) => run.day))];
