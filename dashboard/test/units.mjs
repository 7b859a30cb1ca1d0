// What the filters leave and what is read of a run, without a browser.
import assert from 'node:assert/strict';
import test from 'node:test';
import { accuracy, alarms, bySet, chosen, estimate, join, leftOut, methods, state } from '../src/nights.js';
import { count, dateOf, dayOf, interval, percent, span } from '../src/words.js';

const run = (run_id, run_date, more = {}) => ({ run_id, run_date, name: 'n', dataset: 'd', status: 'complete', primary_method: 't3_b', n_scored: 90, n_quarantined: 10, completed_at: `${run_date}T05:00:00Z`, ...more });
const line = (run_id, method, metric, corruption, value, more = {}) => ({ run_id, method, metric, corruption, severity: corruption === 'clean' ? 0 : null, value, low: value - 0.1, high: value + 0.1, n: 9, ...more });

const runs = join({
  runs: [run('b', '2026-03-02'), run('a', '2026-03-01'), run('c', '2025-12-01', { dataset: null, site: 's' })],
  summary: [
    line('a', 't3_b', 'top1', 'clean', 0.9),
    line('a', 't3_b', 'top1', null, 0.7),
    line('a', 'expert', 'top1', 'clean', 0.8),
    line('a', 't3_b', 'top1', 'noise', 0.5),
    line('a', 'line_050', 'top1', 'clean', 0.1),
    line('a', 'parents', 'js_nats', 'clean', 0.1),
    line('b', 't3_b', 'top1_estimated', 'clean', 0.6),
  ],
  drift: [{ run_id: 'b', quantity: 'js_nats', psi: 0.4, is_alarm: true }, { run_id: 'b', quantity: 'lambda_sample', psi: 0.4, is_alarm: false }],
  quarantine: [{ run_id: 'a', reason_code: 'empty_object', n: 10 }],
});
const all = { modality: '', dataset: '', setting: '', site: '', name: '', method: '', images: '', days: '' };

test('runs are in the order of their nights and keep what is theirs', () => {
  assert.deepEqual(runs.map((one) => one.id), ['c', 'a', 'b']);
  assert.deepEqual(runs.map((one) => one.lines.length), [0, 6, 1]);
  assert.equal(leftOut(runs[1]), 0.1);
});

test('filters leave what has the tag, and days count from the newest night', () => {
  assert.deepEqual(chosen(runs, { ...all, dataset: 'd' }).map((one) => one.id), ['a', 'b']);
  assert.deepEqual(chosen(runs, { ...all, dataset: '(none)' }).map((one) => one.id), ['c']);
  assert.deepEqual(chosen(runs, { ...all, days: '1' }).map((one) => one.id), ['b']);
  assert.deepEqual(chosen(runs, { ...all, days: '2' }).map((one) => one.id), ['a', 'b']);
});

test('a figure is that of the method and the images asked for', () => {
  assert.equal(accuracy(runs[1], all).value, 0.9);
  assert.equal(accuracy(runs[1], { ...all, images: 'corrupted' }).value, 0.7);
  assert.equal(accuracy(runs[1], { ...all, method: 'expert' }).value, 0.8);
  assert.equal(accuracy(runs[2], all), undefined);
  assert.equal(estimate(runs[2], all).value, 0.6);
  // The estimate is of the run's own method on clean images alone.
  assert.equal(estimate(runs[2], { ...all, method: 'expert' }), undefined);
  assert.equal(estimate(runs[2], { ...all, images: 'corrupted' }), undefined);
  assert.deepEqual(methods(runs), ['expert', 't3_b']);
});

test('a state names the gravest of what happened', () => {
  assert.deepEqual(runs.map(state), ['bare', 'fine', 'alarm']);
  assert.equal(alarms(runs[2]).length, 1);
  const [over] = join({ runs: [run('z', '2026-03-01', { status: 'complete_over_quarantine_limit' })], summary: [], drift: [{ run_id: 'z', is_alarm: true }], quarantine: [] });
  assert.equal(state(over), 'over');
});

test('of two runs on one day the later completed is drawn', () => {
  const twice = join({ runs: [run('y', '2026-03-01', { completed_at: '2026-03-01T09:00:00Z' }), run('z', '2026-03-01')], summary: [], drift: [], quarantine: [] });
  assert.equal([...bySet(twice).values()][0].get(dayOf('2026-03-01')).id, 'y');
});

test('numbers as people read them', () => {
  assert.equal(dateOf(dayOf('2028-02-29')), '2028-02-29');
  assert.equal(percent(0.98765), '98.8 %');
  assert.equal(percent(null), '–');
  assert.equal(interval({ low: 0.9, high: 1 }), '90.0 to 100.0 %');
  assert.equal(count(1234567), '1\u202f234\u202f567');
  assert.deepEqual([span(90), span(600), span(9000)], ['90 s', '10 min', '2.5 h']);
});
