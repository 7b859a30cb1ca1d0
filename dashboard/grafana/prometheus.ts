// A run while it goes, and whether nights are published: over the metrics of `[metrics]`.
import type { Dashboard, Panel } from '@grafana/schema';
import { board, levels, place, series, source, stat, variable } from './common';

const PLUGIN = 'prometheus';
const datasource = source(PLUGIN);
const OF = '{pipeline=~"$pipeline"}';
const with_ = (labels: string) => `{pipeline=~"$pipeline", ${labels}}`;

const query = (refId: string, expr: string, legendFormat: string) => ({ refId, expr, legendFormat, range: true, datasource });

const stats: [string, string, string, string, ReturnType<typeof levels>?][] = [
  ['Since the last published run', 'More than 26 hours: a night is missing.', `time() - max(t3b_last_success_timestamp_seconds${OF})`, 's', levels([26 * 3600, 'red'])],
  ['Last exit code', '0 done, 3 done but over a limit, 74 and 75 resume by themselves, others wait for a person: docs/errors.md.', `max(t3b_last_exit_code${OF})`, 'none', levels([3, 'orange'], [4, 'red'])],
  ['Done of this run', 'Partitions committed of those planned.', `sum(t3b_partitions_total${OF}) / sum(t3b_planned_partitions${OF})`, 'percentunit'],
  ['Left out of what was read', 'Rows of the quarantine table over objects read.', `sum(t3b_quarantine_rows_total${OF}) / sum(t3b_stage_items_total${with_('stage="source"')})`, 'percentunit', levels([0.05, 'orange'])],
];

const lines: [string, string, string, string, [string, string][], boolean?][] = [
  ['Scored', '(image, corruption) pairs scored a second.', 'pairs a second', 'none', [[`sum by (pipeline) (rate(t3b_pairs_total${OF}[5m]))`, '{{pipeline}}']]],
  ['Lambda', 'Weight on the expert: median and the middle nine tenths of what was scored lately.', 'lambda (no unit)', 'none', [0.05, 0.5, 0.95].map((q) => [`histogram_quantile(${q}, sum by (le) (rate(t3b_lambda_bucket${OF}[30m])))`, `${100 * q} %`])],
  ['Disagreement of the two models', 'Jensen-Shannon divergence: median and 95th percentile of what was scored lately.', 'divergence, nats', 'none', [0.5, 0.95].map((q) => [`histogram_quantile(${q}, sum by (le) (rate(t3b_js_nats_bucket${OF}[30m])))`, `${100 * q} %`])],
  ['Left out, by reason', 'Rows of the quarantine table.', 'rows an hour', 'none', [[`sum by (reason) (increase(t3b_quarantine_rows_total${OF}[1h]))`, '{{reason}}']], true],
  ['Stages at work', 'Busy seconds a second: which stage the run waits for.', 'busy, seconds a second', 'none', [[`sum by (stage) (rate(t3b_stage_busy_seconds_total${OF}[5m]))`, '{{stage}}']]],
  ['Stages that wait for the next', 'Blocked seconds a second: those before the slowest stage wait.', 'blocked, seconds a second', 'none', [[`sum by (stage) (rate(t3b_stage_blocked_seconds_total${OF}[5m]))`, '{{stage}}']]],
  ['Queues', 'Fill of each queue: 1 is full.', 'share of its capacity', 'percentunit', [[`max by (queue) (t3b_queue_messages${OF} / t3b_queue_capacity_messages${OF})`, '{{queue}}']]],
  ['Memory', 'Resident memory of the process and the most it had.', 'bytes', 'bytes', [[`max by (pipeline) (t3b_resident_memory_bytes${OF})`, '{{pipeline}} now'], [`max by (pipeline) (t3b_resident_memory_peak_bytes${OF})`, '{{pipeline}} most']]],
  ['Store: time of a request', '95th percentile by operation.', 'seconds', 's', [[`histogram_quantile(0.95, sum by (le, operation) (rate(t3b_store_operation_duration_seconds_bucket${OF}[5m])))`, '{{operation}}']]],
  ['Store: bytes and requests sent again', 'Read and written bytes a second; requests sent again are refusals or failures.', 'a second', 'none', [[`sum(rate(t3b_store_read_bytes_total${OF}[5m]))`, 'bytes read'], [`sum(rate(t3b_store_written_bytes_total${OF}[5m]))`, 'bytes written'], [`sum(rate(t3b_store_retries_total${OF}[5m]))`, 'requests sent again']]],
];

const panels: Panel[] = [
  ...stats.map(([title, description, expr, unit, thresholds], n) => stat({ id: n + 1, title, description, unit, thresholds, datasource, gridPos: place(n, 4, 4), targets: [query('A', expr, '')] })),
  ...lines.map(([title, description, axis, unit, queries, bars], n) => {
    const gridPos = { ...place(n, 2), y: 4 + place(n, 2).y };
    return series({ id: 10 + n, title, description, axis, unit, bars, stacked: bars, datasource, gridPos, min: 0, targets: queries.map(([expr, legend], k) => query('ABC'[k] ?? 'D', expr, legend)) });
  }),
];

export const prometheus: Dashboard = board(
  't3b-prometheus', 't3b: runs', 'A run while it goes, and whether nights are published. Over the metrics that t3b writes where [metrics] is set.', 'now-24h', '1m',
  [variable(PLUGIN, 'Prometheus'), { name: 'pipeline', type: 'query', label: 'Pipeline', datasource, query: 'label_values(t3b_build_info, pipeline)', refresh: 2, includeAll: true, multi: true, allValue: '.*' }],
  panels,
);
