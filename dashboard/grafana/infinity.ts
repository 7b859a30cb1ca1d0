// Nights over months: over nights.json that `t3b dashboard` writes, read by the Infinity data source from any address it reaches,
// signed S3 and Azure included.
import type { Dashboard, Panel } from '@grafana/schema';
import { board, levels, place, series, source, stat, variable } from './common';

const PLUGIN = 'yesoreyeram-infinity-datasource';
const datasource = source(PLUGIN);

type Kind = 'string' | 'number' | 'timestamp';
const column = (selector: string, text: string, type: Kind) => ({ selector, text, type });

/** Lines of one file as a table; the day is the time. */
const query = (file: string, columns: ReturnType<typeof column>[], filter = '') => ({
  refId: 'A', datasource, type: 'json', source: 'url', format: 'timeseries', parser: 'backend', root_selector: '', filterExpression: filter,
  url: `\${address}/${file}`, url_options: { method: 'GET', data: '' },
  columns: [column('run_date', 'time', 'timestamp'), ...columns],
});

const OF_SET = 'name == "${pipeline}"';
const numbers = (...names: [string, string][]) => names.map(([selector, text]) => column(selector, text, 'number'));

const lines: [string, string, string, string, [string, string][], Partial<Parameters<typeof series>[0]>?][] = [
  ['Accuracy on clean images', 'Share of right answers of the run’s own method with its 95 % interval, and the estimate that needs no labels.', 'right answers', 'percentunit', [['top1', 'measured'], ['top1_low', 'lower end'], ['top1_high', 'upper end'], ['top1_estimated', 'estimated without labels']], { max: 1 }],
  ['Accuracy on corrupted images', 'Mean over corruptions and severities.', 'right answers', 'percentunit', [['top1_corrupted', 'corrupted, mean']], { max: 1 }],
  ['Lambda', 'Mean weight on the expert over everything scored.', 'lambda (no unit)', 'none', [['lambda_mean', 'lambda']]],
  ['Drift', 'Largest population stability index of the night; an alarm needs 0.1 and significance.', 'PSI', 'none', [['psi_max', 'largest PSI']], { min: 0, thresholds: levels([0.1, 'red']) }],
  ['Left out', '(image, corruption) pairs that could not be scored.', 'pairs', 'none', [['n_quarantined', 'left out']], { bars: true, min: 0 }],
  ['Time at work', 'Seconds of all processes of the night together.', 'seconds', 's', [['seconds', 'at work']], { bars: true, min: 0 }],
];

const panels: Panel[] = [
  stat({ id: 1, title: 'Accuracy, latest night', description: 'On clean images with labels.', unit: 'percentunit', datasource, gridPos: place(0, 4, 4), targets: [query('latest.json', numbers(['top1', 'accuracy']), OF_SET)] }),
  stat({ id: 2, title: 'Estimated accuracy, latest night', description: 'From the model’s own confidence.', unit: 'percentunit', datasource, gridPos: place(1, 4, 4), targets: [query('latest.json', numbers(['top1_estimated', 'estimate']), OF_SET)] }),
  stat({ id: 3, title: 'Drift alarms, latest night', description: 'Quantities that alarmed.', unit: 'none', thresholds: levels([1, 'red']), datasource, gridPos: place(2, 4, 4), targets: [query('latest.json', numbers(['n_drift_alarms', 'alarms']), OF_SET)] }),
  stat({ id: 4, title: 'Left out, latest night', description: 'Pairs that could not be scored.', unit: 'none', datasource, gridPos: place(3, 4, 4), targets: [query('latest.json', numbers(['n_quarantined', 'left out']), OF_SET)] }),
  ...lines.map(([title, description, axis, unit, names, more], n) => series({ id: 10 + n, title, description, axis, unit, datasource, gridPos: { ...place(n, 2), y: 4 + place(n, 2).y }, targets: [query('nights.json', numbers(...names), OF_SET)], ...more })),
];

export const infinity: Dashboard = board(
  't3b-nights', 't3b: nights', 'Nights over months, from nights.json and latest.json that t3b dashboard writes.', 'now-90d', '',
  [variable(PLUGIN, 'Infinity'), { name: 'address', type: 'textbox', label: 'Address of the dashboard’s folder', query: 'https://example.org/nights' }, { name: 'pipeline', type: 'textbox', label: 'Pipeline (run.name)', query: 'demo' }],
  panels,
);
