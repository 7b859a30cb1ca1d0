// Bundles the page into dist/, with the licences of what is in it. One command: `npm ci && npm run build`.
import { build } from 'esbuild';
import { copyFileSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const MOST_SCRIPT_BYTES = 250_000;
const here = import.meta.dirname;
const dist = join(here, 'dist');

const result = await build({
  absWorkingDir: here,
  entryPoints: { app: 'src/main.js' },
  outdir: 'dist',
  bundle: true,
  minify: true,
  format: 'iife',
  target: ['es2022'],
  legalComments: 'none',
  charset: 'utf8',
  metafile: true,
});
copyFileSync(join(here, 'src/index.html'), join(dist, 'index.html'));

/** Packages whose code is in the bundle. */
const inside = new Set();
for (const path of Object.keys(result.metafile.inputs)) {
  const found = path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/);
  if (found) inside.add(found[1]);
}
const licences = [...inside].sort().map((name) => {
  const folder = join(here, 'node_modules', name);
  const { version, license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const file = ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'license'].map((each) => join(folder, each)).find(existsSync);
  if (!file) throw new Error(`${name} has no licence file`);
  return `${name} ${version} (${license})\n\n${readFileSync(file, 'utf8').trim()}\n`;
});
writeFileSync(join(dist, 'LICENSES.txt'), `The page's script and style hold code of these packages.\n\n${licences.join('\n----\n\n')}`);

const bytes = statSync(join(dist, 'app.js')).size;
if (bytes > MOST_SCRIPT_BYTES) throw new Error(`app.js has ${bytes} bytes, allowed ${MOST_SCRIPT_BYTES}`);
console.log(`dashboard/dist: app.js ${bytes} bytes, app.css ${statSync(join(dist, 'app.css')).size}, ${licences.length} packages inside`);
