// The page: what is chosen stands in the address, so that a view can be kept as a bookmark; everything follows from it.
import 'uplot/dist/uPlot.min.css';
import './style.css';
import { charts, undrawn } from './charts.js';
import { nightPage } from './night.js';
import { TAGS, accuracy, alarms, chosen, estimate, join, lambda, leftOut, methods, rate, state, tagOf } from './nights.js';
import { clear, figureOf } from './plots.js';
import { rows } from './tables.js';
import { STATES, timeline } from './timeline.js';
import { count, dateOf, fixed, interval, longDay, make, percent, table } from './words.js';

/** @typedef {import('./nights.js').Run} Run */
/** @typedef {import('./nights.js').Choice} Choice */

const KEYS = /** @type {const} */ (['modality', 'dataset', 'setting', 'site', 'name', 'method', 'images', 'days']);
/** Rows of the table of nights before one asks for more. */
const FIRST_ROWS = 60;

/** @type {Run[]} */
let runs = [];

const main = /** @type {HTMLElement} */ (document.getElementById('main'));
const top_ = /** @type {HTMLElement} */ (document.getElementById('top'));

/** What the address says. @returns {Choice & {night: string}} */
function asked() {
  const said = new URLSearchParams(location.hash.slice(1));
  const choice = Object.fromEntries([...KEYS, 'night'].map((key) => [key, said.get(key) ?? '']));
  return /** @type {any} */ (said.has('days') ? choice : { ...choice, days: '90' });
}

/** The address of a choice. @param {Record<string, string>} choice */
function address(choice) {
  const said = new URLSearchParams();
  for (const key of [...KEYS, 'night']) if (choice[key] || (key === 'days' && choice[key] === '')) said.set(key, choice[key] ?? '');
  if (choice.days === '90') said.delete('days');
  return `#${said}`;
}

/** One night can be looked at by method alone. @param {ReturnType<typeof asked>} choice */
function filters(choice) {
  const pick = (/** @type {string} */ key, /** @type {string} */ name, /** @type {[string, string][]} */ options) => {
    const change = (/** @type {Event} */ event) => {
      location.hash = address({ ...asked(), [key]: /** @type {HTMLSelectElement} */ (event.target).value });
    };
    const list = options.map(([value, words]) => make('option', { value, selected: /** @type {Record<string, string>} */ (choice)[key] === value }, words));
    return make('label', {}, make('span', {}, name), make('select', { name: key, onchange: change }, ...list));
  };
  const tags = TAGS.map(([tag, name]) => {
    const values = [...new Set(runs.map((run) => tagOf(run, tag)))].sort();
    return values.length > 1 || choice[tag] ? pick(tag, name, [['', 'all'], ...values.map((value) => /** @type {[string, string]} */ ([value, value]))]) : null;
  });
  const method = pick('method', 'Method', [['', 'each run’s own'], ...methods(runs).map((name) => /** @type {[string, string]} */ ([name, name]))]);
  const form = { class: 'filters', 'aria-label': 'What is shown', onsubmit: (/** @type {Event} */ event) => event.preventDefault() };
  if (choice.night) return make('form', form, method);
  return make(
    'form',
    form,
    ...tags,
    method,
    pick('images', 'Images', [['', 'clean'], ['corrupted', 'corrupted, mean']]),
    pick('days', 'Period', [['30', 'last 30 days'], ['90', 'last 90 days'], ['365', 'last year'], ['', 'everything']]),
  );
}

/** @param {Run[]} shown not empty @param {Choice} choice */
function tiles(shown, choice) {
  const latest = shown[shown.length - 1];
  const measured = accuracy(latest, choice);
  const guessed = estimate(latest, choice);
  const sum = (/** @type {(run: Run) => number} */ of) => shown.reduce((total, run) => total + of(run), 0);
  const planned = sum((run) => run.row.n_scored + run.row.n_quarantined);
  const tile = (/** @type {string} */ name, /** @type {string} */ value, /** @type {string} */ more) =>
    make('div', { class: 'tile' }, make('dt', {}, name), make('dd', {}, make('strong', {}, value), make('span', {}, more)));
  const figure = measured ?? guessed;
  return make(
    'dl',
    { class: 'tiles' },
    tile('Latest night', longDay(latest.day), `${latest.set}: ${STATES[state(latest)].words}`),
    tile(measured || !guessed ? 'Accuracy, latest night' : 'Accuracy, latest night, estimated', percent(figure?.value), figure ? interval(figure) : 'no labels and no estimate'),
    tile('Runs', count(shown.length), `${count(new Set(shown.map((run) => run.day)).size)} different days`),
    tile('Scored', count(sum((run) => run.row.n_scored)), '(image, version) pairs: clean and corrupted'),
    tile('Left out', percent(planned ? sum((run) => run.row.n_quarantined) / planned : null), `${count(sum((run) => run.row.n_quarantined))} pairs`),
    tile('Nights with a drift alarm', count(shown.filter((run) => alarms(run).length > 0).length), `of ${count(shown.filter((run) => run.drift.length > 0).length)} compared`),
  );
}

/** Every run in a row: what the plots show, as text. @param {Run[]} shown @param {Choice} choice @param {(run: Run) => string} link */
function list(shown, choice, link) {
  const row = (/** @type {Run} */ run) => {
    const [measured, guessed] = [accuracy(run, choice), estimate(run, choice)];
    return [
      make('a', { href: link(run) }, dateOf(run.day)),
      STATES[state(run)].words,
      percent(measured?.value),
      interval(measured),
      percent(guessed?.value),
      fixed(lambda(run)?.value ?? run.row.lambda_mean, 3),
      percent(leftOut(run)),
      run.drift.length ? String(alarms(run).length) : '–',
      fixed(rate(run), 1),
      run.set,
      run.id,
    ];
  };
  const heads = ['night', 'state', 'accuracy', '95 % interval', 'estimated', 'lambda', 'left out', 'drift alarms', 'pairs a second', 'set', 'run'];
  const newest = [...shown].reverse();
  const made = (/** @type {number} */ n) => table('Runs, newest first', heads, newest.slice(0, n).map(row));
  const box = make('section', { 'aria-labelledby': 'runs' }, make('h2', { id: 'runs' }, 'All runs as text'), made(FIRST_ROWS));
  if (newest.length > FIRST_ROWS) {
    const more = make('button', { type: 'button', onclick: () => box.replaceChildren(/** @type {Node} */ (box.firstChild), made(newest.length)) }, `Show all ${newest.length}`);
    box.append(more);
  }
  return box;
}

/** @param {ReturnType<typeof asked>} choice @param {Run[]} shown @param {(run: Run) => string} link */
function overview(choice, shown, link) {
  if (shown.length === 0) {
    return [make('p', { role: 'status' }, runs.length ? 'No run fits what is chosen above.' : 'No published run was found below this root. A run counts once it is complete.')];
  }
  const open = (/** @type {number} */ day) => {
    const run = shown.findLast((one) => one.day === day);
    if (run) location.hash = link(run);
  };
  const more = undrawn(shown);
  return [
    tiles(shown, choice),
    timeline(shown, choice, link),
    make(
      'section',
      { 'aria-labelledby': 'plots' },
      make('h2', { id: 'plots' }, 'Over the nights'),
      make('p', { class: 'note' }, 'Point at a night, or choose a plot and move with the arrow keys, to read its values; click or Enter opens the night.'),
      more ? make('p', { class: 'note' }, `The plots show six sets; ${more} more are in the table below. Choose a data set above to see one.`) : null,
      make('div', { class: 'plots' }, ...charts(shown, choice, open).map(figureOf)),
    ),
    list(shown, choice, link),
  ];
}

let turn = 0;
/** @param {boolean} moved whether the address changed, so that the keyboard goes along */
async function show(moved) {
  const mine = (turn += 1);
  const choice = asked();
  const focus = /** @type {HTMLElement | null} */ (document.activeElement)?.getAttribute('name');
  const shown = chosen(runs, choice);
  const link = (/** @type {Run} */ run) => address({ ...choice, night: run.id });
  const night = choice.night ? runs.find((run) => run.id === choice.night) : undefined;
  const links = { night: link, overview: address({ ...choice, night: '' }) };
  let parts;
  if (night) parts = [await nightPage(night, shown, choice, links)];
  else if (choice.night) parts = [make('p', { role: 'alert' }, 'There is no such run here. '), make('a', { href: links.overview }, 'All nights')];
  else parts = overview(choice, shown, link);
  if (mine !== turn) return;
  clear();
  top_.replaceChildren(make('h1', {}, make('a', { href: links.overview }, 't3b nights')), filters(choice));
  main.replaceChildren(...parts);
  // What is shown, for whoever waits for it.
  main.dataset.shown = location.hash;
  document.title = night ? `${night.id}, t3b nights` : 't3b nights';
  if (!moved) return;
  const again = focus && /** @type {HTMLElement | null} */ (top_.querySelector(`select[name="${focus}"]`));
  if (again) again.focus();
  else {
    /** @type {HTMLElement} */ (document.getElementById('night') ?? main).focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

async function start() {
  try {
    const [found, summary, drift, quarantine] = await Promise.all(['runs', 'summary', 'drift', 'quarantine'].map(rows));
    runs = join({ runs: found, summary, drift, quarantine });
  } catch (error) {
    main.replaceChildren(make('p', { role: 'alert' }, `The data beside this page cannot be read: ${/** @type {Error} */ (error).message}. Write the page again: t3b dashboard ROOT --out DIR.`));
    return;
  }
  const versions = [...new Set(runs.map((run) => run.row.code_version))].filter(Boolean).join(', ');
  const foot = /** @type {HTMLElement} */ (document.getElementById('foot'));
  foot.append(
    make('p', {}, `Scored by t3b ${versions}. The page loads nothing but the files beside it. The same figures: `, make('a', { href: 'latest.csv' }, 'latest.csv'), ', ', make('a', { href: 'latest.json' }, 'latest.json'), ' and data/*.parquet. Licences of what is inside: ', make('a', { href: 'LICENSES.txt' }, 'LICENSES.txt'), '. Not for diagnosis.'),
  );
  addEventListener('hashchange', () => show(true));
  await show(false);
}

start();
