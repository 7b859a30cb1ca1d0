// Writes deploy/grafana/*.json from the typed boards beside this file; with --check, compares instead.
import { build } from 'esbuild';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const here = import.meta.dirname;
const folder = mkdtempSync(join(tmpdir(), 't3b-grafana-'));
try {
  const outfile = join(folder, 'boards.mjs');
  await build({ absWorkingDir: here, entryPoints: ['index.ts'], bundle: true, format: 'esm', platform: 'neutral', mainFields: ['module', 'main'], outfile, logLevel: 'error' });
  const boards = await import(pathToFileURL(outfile).href);
  for (const [name, board] of Object.entries(boards)) {
    const file = join(here, '../../deploy/grafana', `${name}.json`);
    const text = `${JSON.stringify(board, null, 2)}\n`;
    if (!process.argv.includes('--check')) writeFileSync(file, text);
    else if (readFileSync(file, 'utf8') !== text) throw new Error(`deploy/grafana/${name}.json is not what grafana/${name}.ts says: npm run grafana`);
  }
} finally {
  rmSync(folder, { recursive: true });
}
