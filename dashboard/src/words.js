// Words and numbers as people read them.

const DAY_MS = 86_400_000;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const NONE = '–';

/** Days since 1970 of `YYYY-MM-DD`. @param {string} date */
export const dayOf = (date) => Math.round(Date.parse(`${date}T00:00:00Z`) / DAY_MS);

/** `YYYY-MM-DD` of a day. @param {number} day */
export const dateOf = (day) => new Date(day * DAY_MS).toISOString().slice(0, 10);

/** `3 Oct`. @param {number} day */
export function shortDay(day) {
  const at = new Date(day * DAY_MS);
  return `${at.getUTCDate()} ${MONTHS[at.getUTCMonth()]}`;
}

/** `3 Oct 2026`. @param {number} day */
export const longDay = (day) => `${shortDay(day)} ${new Date(day * DAY_MS).getUTCFullYear()}`;

/** Per cent with one decimal. @param {number | null | undefined} share */
export const percent = (share) => (share == null ? NONE : `${(100 * share).toFixed(1)} %`);

/** @param {number | null | undefined} value @param {number} digits */
export const fixed = (value, digits) => (value == null ? NONE : value.toFixed(digits));

/** Whole numbers in groups of three. @param {number | null | undefined} value */
export const count = (value) => (value == null ? NONE : Math.round(value).toString().replace(/\B(?=(\d{3})+$)/g, '\u202f'));

/** `95.0 to 99.2 %`. @param {{low: number|null, high: number|null} | undefined} line */
export const interval = (line) =>
  line?.low == null || line.high == null ? NONE : `${(100 * line.low).toFixed(1)} to ${(100 * line.high).toFixed(1)} %`;

/** Seconds as hours, minutes or seconds. @param {number | null | undefined} seconds */
export function span(seconds) {
  if (seconds == null) return NONE;
  if (seconds < 120) return `${seconds.toFixed(0)} s`;
  return seconds < 7200 ? `${(seconds / 60).toFixed(0)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** `2026-10-03 01:12 UTC`. @param {string | null | undefined} time RFC 3339 */
export const moment = (time) => (time ? `${time.slice(0, 16).replace('T', ' ')} UTC` : NONE);

/** A code with spaces. @param {string} code */
export const spaced = (code) => code.replaceAll('_', ' ');

const QUANTITIES = new Map([
  ['js_nats', 'disagreement of the two models'],
  ['lambda_sample', 'weight on the expert'],
  ['pt_entropy_nats', 'uncertainty of the pretrained model'],
  ['ft_entropy_nats', 'uncertainty of the expert'],
  ['features', 'look of the images (features)'],
  ['predicted_class', 'mix of predicted classes'],
  ['quarantine_reason', 'mix of reasons for leaving out'],
]);

/** What drift looks at, in words. @param {string} name */
export const quantity = (name) => QUANTITIES.get(name) ?? spaced(name);

/**
 * An element with attributes and children.
 * @param {string} tag @param {Record<string, any>} [attributes] @param {...(Node | string | null | undefined)} children
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value == null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  for (const child of children) if (child != null) element.append(child);
  return element;
}

/**
 * A table that scrolls in its own box where it is wider than the screen.
 * @param {string} caption @param {string[]} heads @param {(Node | string)[][]} body
 */
export function table(caption, heads, body) {
  const cell = (/** @type {Node | string} */ value, /** @type {number} */ place) =>
    place === 0 ? make('th', { scope: 'row' }, value) : make('td', {}, value);
  const rows = make(
    'table',
    { 'aria-label': caption },
    make('thead', {}, make('tr', {}, ...heads.map((head) => make('th', { scope: 'col' }, head)))),
    make('tbody', {}, ...body.map((row) => make('tr', {}, ...row.map(cell)))),
  );
  return make('div', {}, make('h3', {}, caption), make('div', { class: 'wide', tabindex: 0, role: 'region', 'aria-label': caption }, rows));
}
