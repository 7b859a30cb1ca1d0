// What both boards are made of, in the types of Grafana's own schema.
import { DashboardCursorSync, FieldColorModeId, GraphDrawStyle, LegendDisplayMode, SortOrder, ThresholdsMode, TooltipDisplayMode, VariableRefresh } from '@grafana/schema';
import type { Dashboard, DataSourceRef, FieldConfigSource, GridPos, Panel, ThresholdsConfig, VariableModel } from '@grafana/schema';

/** Columns of a board. */
const WIDTH = 24;

/** Where the n-th panel stands, `across` of them in a row. */
export function place(n: number, across: number, h = 8): GridPos {
  const w = WIDTH / across;
  return { x: (n % across) * w, y: Math.floor(n / across) * h, w, h };
}

export function variable(plugin: string, label: string): VariableModel {
  return { name: 'source', type: 'datasource', label, query: plugin, refresh: VariableRefresh.onDashboardLoad };
}

export function source(plugin: string): DataSourceRef {
  return { type: plugin, uid: '${source}' };
}

interface Drawn {
  id: number;
  title: string;
  description: string;
  gridPos: GridPos;
  datasource: DataSourceRef;
  targets: Record<string, unknown>[];
  unit?: string;
  axis: string;
  bars?: boolean;
  stacked?: boolean;
  min?: number;
  max?: number;
  thresholds?: ThresholdsConfig;
  overrides?: FieldConfigSource['overrides'];
}

/** Lines or bars over time, with its axis named and a legend. */
export function series(drawn: Drawn): Panel {
  const { id, title, description, gridPos, datasource, targets, unit, axis, min, max, thresholds, overrides = [] } = drawn;
  const custom = {
    axisLabel: axis,
    drawStyle: drawn.bars ? GraphDrawStyle.Bars : GraphDrawStyle.Line,
    fillOpacity: drawn.bars ? 80 : 8,
    showPoints: 'auto',
    spanNulls: false,
    stacking: { mode: drawn.stacked ? 'normal' : 'none', group: 'A' },
    ...(thresholds ? { thresholdsStyle: { mode: 'line' } } : {}),
  };
  return {
    id, type: 'timeseries', title, description, gridPos, datasource, targets,
    fieldConfig: { defaults: { color: { mode: FieldColorModeId.PaletteClassic }, unit, min, max, thresholds, custom }, overrides },
    options: { legend: { displayMode: LegendDisplayMode.List, placement: 'bottom', showLegend: true, calcs: [] }, tooltip: { mode: TooltipDisplayMode.Multi, sort: SortOrder.Descending } },
  };
}

/** One number. */
export function stat(drawn: Omit<Drawn, 'axis' | 'bars' | 'stacked'>): Panel {
  const { id, title, description, gridPos, datasource, targets, unit, min, max, thresholds } = drawn;
  return {
    id, type: 'stat', title, description, gridPos, datasource, targets,
    fieldConfig: { defaults: { unit, min, max, color: { mode: thresholds ? FieldColorModeId.Thresholds : FieldColorModeId.Fixed }, thresholds }, overrides: [] },
    options: { reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false }, textMode: 'auto', colorMode: thresholds ? 'background' : 'none', graphMode: 'none' },
  };
}

/** Fine below the first level; each level with its colour. */
export function levels(...steps: [number, string][]): ThresholdsConfig {
  // -Infinity, as the type wants it, has no JSON; Grafana writes null for it.
  return { mode: ThresholdsMode.Absolute, steps: [{ value: null as unknown as number, color: 'green' }, ...steps.map(([value, color]) => ({ value, color }))] };
}

export function board(uid: string, title: string, description: string, from: string, refresh: string, variables: VariableModel[], panels: Panel[]): Dashboard {
  return {
    uid, title, description, refresh,
    schemaVersion: 41,
    version: 1,
    editable: true,
    graphTooltip: DashboardCursorSync.Crosshair,
    tags: ['t3b'],
    time: { from, to: 'now' },
    timezone: 'utc',
    templating: { list: variables },
    annotations: { list: [] },
    panels,
  };
}
