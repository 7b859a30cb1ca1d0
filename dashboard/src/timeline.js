// Nights as a time line: a mark a day and set, missing days included.
import { accuracy, alarms, bySet, days, estimate, leftOut, state } from './nights.js';
import { longDay, make, percent, shortDay } from './words.js';

/** @typedef {import('./nights.js').Run} Run */
/** @typedef {import('./nights.js').Choice} Choice */

/** Sign and words of each state. A colour never stands alone. */
export const STATES = {
  fine: { sign: '✓', words: 'done, no alarm' },
  alarm: { sign: '!', words: 'drift alarm' },
  over: { sign: '×', words: 'too many images left out' },
  bare: { sign: '?', words: 'done, not evaluated' },
  none: { sign: '·', words: 'no run' },
};

/** What a night is in one sentence. @param {Run} run @param {Choice} choice */
export function sentence(run, choice) {
  const measured = accuracy(run, choice);
  const guessed = estimate(run, choice);
  const parts = [STATES[state(run)].words];
  if (measured) parts.push(`accuracy ${percent(measured.value)}`);
  else if (guessed) parts.push(`estimated accuracy ${percent(guessed.value)}`);
  if (run.row.n_quarantined > 0) parts.push(`${percent(leftOut(run))} left out`);
  const drifted = alarms(run).length;
  if (drifted > 0) parts.push(`${drifted} ${drifted === 1 ? 'quantity' : 'quantities'} drifted`);
  return `${longDay(run.day)}, ${run.set}: ${parts.join(', ')}`;
}

/**
 * @param {Run[]} runs not empty @param {Choice} choice @param {(run: Run) => string} link
 */
export function timeline(runs, choice, link) {
  const [first, last] = days(runs);
  const rows = [...bySet(runs)].map(([set, nights]) => {
    const marks = [];
    for (let day = first; day <= last; day += 1) marks.push(mark(day, nights.get(day), choice, link));
    return make('div', { class: 'strip' }, make('h3', { class: 'small' }, set), roving(make('ol', { 'aria-label': `Nights of ${set}` }, ...marks)));
  });
  const known = make(
    'ul',
    { class: 'legend' },
    ...Object.entries(STATES).map(([name, { sign, words }]) => make('li', {}, make('span', { class: `mark ${name}`, 'aria-hidden': 'true' }, sign), words)),
  );
  const words = `${longDay(first)} to ${longDay(last)}. One mark a day; several runs on one day show the last of them.`;
  return make('section', { 'aria-labelledby': 'timeline' }, make('h2', { id: 'timeline' }, 'Nights'), make('p', { class: 'note' }, words), known, ...rows);
}

/** @param {number} day @param {Run | undefined} run @param {Choice} choice @param {(run: Run) => string} link */
function mark(day, run, choice, link) {
  const date = new Date(day * 86_400_000).getUTCDate();
  const name = run ? state(run) : 'none';
  const face = [make('span', { class: 'sign', 'aria-hidden': 'true' }, STATES[name].sign), make('span', { class: 'date', 'aria-hidden': 'true' }, date === 1 ? shortDay(day) : String(date))];
  if (!run) {
    const words = `${longDay(day)}: no run`;
    return make('li', {}, make('span', { class: 'mark none', role: 'img', 'aria-label': words, title: words }, ...face));
  }
  const words = sentence(run, choice);
  return make('li', {}, make('a', { class: `mark ${name}`, href: link(run), 'aria-label': words, title: words }, ...face));
}

/** One stop for the Tab key; arrows, Home and End move inside. @param {HTMLElement} list */
function roving(list) {
  const links = [.../** @type {NodeListOf<HTMLElement>} */ (list.querySelectorAll('a'))];
  links.forEach((link, k) => link.setAttribute('tabindex', k === links.length - 1 ? '0' : '-1'));
  list.addEventListener('keydown', (event) => {
    const here = links.indexOf(/** @type {HTMLElement} */ (document.activeElement));
    const to = { ArrowLeft: here - 1, ArrowUp: here - 1, ArrowRight: here + 1, ArrowDown: here + 1, Home: 0, End: links.length - 1 }[event.key];
    if (here < 0 || to === undefined || !links[to]) return;
    event.preventDefault();
    links[here].setAttribute('tabindex', '-1');
    links[to].setAttribute('tabindex', '0');
    links[to].focus();
  });
  return list;
}
