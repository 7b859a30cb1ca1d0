// One night's page: everything that was found of one run.
import { accuracy, alarms, estimate, leftOut, rate, state } from './nights.js';
import { nightRows } from './tables.js';
import { STATES } from './timeline.js';
import { count, fixed, interval, longDay, make, moment, percent, quantity, span, spaced, table } from './words.js';

/** @typedef {import('./nights.js').Run} Run */
/** @typedef {import('./nights.js').Choice} Choice */
/** @typedef {import('./tables.js').Row} Row */

/**
 * @param {Run} run @param {Run[]} all those the filters leave @param {Choice} choice
 * @param {{night: (run: Run) => string, overview: string}} links
 */
export async function nightPage(run, all, choice, links) {
  const title = make('h2', { id: 'night', tabindex: -1 }, `Night of ${longDay(run.day)}`);
  const { sign, words } = STATES[state(run)];
  const said = make('p', {}, make('span', { class: `mark ${state(run)}`, 'aria-hidden': 'true' }, sign), ` ${run.set}: ${words}.`);
  let lines = run.lines;
  let problem = null;
  if (lines.length > 0) {
    try {
      lines = await nightRows(run.id);
    } catch (error) {
      problem = make('p', { role: 'alert' }, `${/** @type {Error} */ (error).message}. Below are the figures of the overview alone.`);
    }
  }
  const method = choice.method || run.row.primary_method;
  return make('div', { class: 'night' }, steps(run, all, links), title, said, problem, facts(run, choice), ...figures(run, lines, method), drift(run), reasons(run));
}

/** Links to the nights before and after of the same set, and back. @param {Run} run @param {Run[]} all @param {{night: (run: Run) => string, overview: string}} links */
function steps(run, all, links) {
  const same = all.filter((one) => one.set === run.set);
  const here = same.indexOf(run);
  const to = (/** @type {Run | undefined} */ one, /** @type {string} */ words) => (one ? make('a', { href: links.night(one) }, `${words} (${longDay(one.day)})`) : null);
  const near = here < 0 ? [] : [to(same[here - 1], '← Night before'), to(same[here + 1], 'Night after →')];
  return make('nav', { 'aria-label': 'Nights', class: 'steps' }, make('a', { href: links.overview }, '↑ All nights'), ...near);
}

/** @param {Run} run @param {Choice} choice */
function facts(run, choice) {
  const { row } = run;
  const measured = accuracy(run, choice);
  const guessed = estimate(run, choice);
  /** @type {[string, string][]} */
  const known = [
    ['Run', run.id],
    ['Pipeline', row.name ?? '–'],
    ['Accuracy, measured', measured ? `${percent(measured.value)} (${interval(measured)}) of ${count(measured.n)} labelled images` : 'no labels'],
    ['Accuracy, estimated', guessed ? `${percent(guessed.value)} (${interval(guessed)})` : '–'],
    ['Images', `${count(row.n_samples)} in ${count(row.n_cells)} ${row.n_cells === 1 ? 'version' : 'versions'} each: clean and corrupted`],
    ['Scored', `${count(row.n_scored)} (image, version) pairs`],
    ['Left out', `${count(row.n_quarantined)} pairs, ${percent(leftOut(run))}`],
    ['Lambda, all versions', fixed(row.lambda_mean, 3)],
    ['Batches that mix kinds of images', percent(row.heterogeneous_share)],
    ['Images the guard moved', percent(row.guarded_share)],
    ['Drift alarms', run.drift.length ? String(alarms(run).length) : 'not compared'],
    ['Time at work', `${span(row.seconds)} in ${count(row.n_attempts)} ${row.n_attempts === 1 ? 'process' : 'processes'}`],
    ['Throughput', rate(run) == null ? '–' : `${fixed(rate(run), 1)} pairs a second`],
    ['Most memory', row.rss_peak_mib == null ? '–' : `${count(row.rss_peak_mib)} MiB`],
    ['Finished', moment(row.completed_at)],
    ['Program', `t3b ${row.code_version ?? ''} on ${row.device ?? 'an unknown device'}`],
  ];
  return make('dl', { class: 'facts' }, ...known.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value))));
}

/** @param {Row[]} lines @param {string} method @param {string} metric @param {string | null} corruption @param {number | null} severity */
const find = (lines, method, metric, corruption, severity) =>
  lines.find((line) => line.method === method && line.metric === metric && (line.corruption ?? null) === corruption && (line.severity ?? null) === severity);

/** @param {Run} run @param {Row[]} lines @param {string} method */
function figures(run, lines, method) {
  if (lines.length === 0) return [make('p', {}, 'This run was not evaluated: t3b evaluate writes its figures.')];
  const methods = [...new Set(lines.filter((line) => line.metric === 'top1').map((line) => line.method))].filter((name) => !name.startsWith('line_'));
  const parts = [];
  if (methods.length > 0) {
    const row = (/** @type {string} */ name) => {
      const at = (/** @type {string} */ metric, /** @type {string | null} */ corruption) => find(lines, name, metric, corruption, corruption ? 0 : null);
      const clean = at('top1', 'clean');
      const mean = at('top1', null);
      const error = at('ece', 'clean');
      return [name === run.row.primary_method ? `${name} (the run’s own)` : name, percent(clean?.value), interval(/** @type {any} */ (clean)), percent(mean?.value), interval(/** @type {any} */ (mean)), percent(at('balanced_accuracy', 'clean')?.value), percent(at('auc', 'clean')?.value), percent(error?.value)];
    };
    parts.push(table('Accuracy of each method', ['method', 'clean', '95 % interval', 'corrupted, mean', '95 % interval', 'balanced accuracy, clean', 'AUC, clean', 'calibration error, clean'], methods.map(row)));
    parts.push(byCorruption(`Accuracy of ${method}, by corruption and severity`, lines, (corruption, severity) => percent(find(lines, method, 'top1', corruption, severity)?.value)));
  }
  parts.push(byCorruption('Lambda (T3’s coefficient), mean by corruption and severity', lines, (corruption, severity) => fixed(find(lines, 'parents', 'lambda_sample', corruption, severity)?.value, 3)));
  parts.push(byCorruption('Disagreement of the two models (divergence, nats), mean by corruption and severity', lines, (corruption, severity) => fixed(find(lines, 'parents', 'js_nats', corruption, severity)?.value, 4)));
  return parts;
}

/** Corruptions down, severities across; clean has none. @param {string} caption @param {Row[]} lines @param {(corruption: string, severity: number) => string} value */
function byCorruption(caption, lines, value) {
  const cells = lines.filter((line) => line.corruption && line.severity != null);
  const corruptions = [...new Set(cells.map((line) => line.corruption))];
  const severities = [...new Set(cells.filter((line) => line.corruption !== 'clean').map((line) => line.severity))].sort((a, b) => a - b);
  const row = (/** @type {string} */ name) =>
    name === 'clean' ? ['clean', value('clean', 0), ...severities.map(() => '')] : [spaced(name), '', ...severities.map((severity) => value(name, severity))];
  return table(caption, ['images', 'clean', ...severities.map((severity) => `severity ${severity}`)], corruptions.map(row));
}

/** @param {Run} run */
function drift(run) {
  if (run.drift.length === 0) return make('p', { class: 'note' }, 'This night was not compared with others: t3b drift does.');
  const row = (/** @type {Row} */ one) => [quantity(one.quantity), fixed(one.psi, 3), fixed(one.psi_null_p95, 3), fixed(one.p_adjusted, 3), fixed(one.ks, 3), fixed(one.mmd2, 4), count(one.n_reference), one.is_alarm ? 'ALARM' : 'no'];
  return table('Drift against the reference nights', ['what', 'PSI', 'PSI by chance (95th percentile)', 'p, corrected', 'KS', 'MMD²', 'reference rows', 'alarm'], run.drift.map(row));
}

/** @param {Run} run */
function reasons(run) {
  if (run.reasons.length === 0) return make('p', { class: 'note' }, 'No image was left out.');
  return table('Left out, by reason', ['reason', 'images'], [...run.reasons].sort((a, b) => b.n - a.n).map((row) => [spaced(row.reason_code), count(row.n)]));
}
