// A month of real nights, for the test of the page: `node month.mjs T3B DIR [NIGHTS]`.
//
// Draws the demo's archive once and scores a part of it every night with the shipped tiny pair: one set with labels, one
// without. One night is missing, one has damaged images, one holds one class alone, one day has two runs. Every run is evaluated
// and compared with the first week as `t3b nightly` does it. What is there already is kept, so a second call is quick.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';

const [t3b, dir, asked] = [resolve(process.argv[2]), resolve(process.argv[3]), Number(process.argv[4] ?? 30)];
const DONE_WITH_ALARM = 3;
const IMAGES_A_NIGHT = 48;
const [MISSING, DAMAGED, SHIFTED, DOUBLED] = [11, 17, 22, 25];

function call(...args) {
  try {
    return execFileSync(t3b, args, { cwd: dir, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, RUST_LOG: 'error' } });
  } catch (error) {
    if (error.status === DONE_WITH_ALARM) return error.stdout;
    throw new Error(`t3b ${args.join(' ')}: ${error.stderr}`);
  }
}

/** Whole numbers below `n` that follow from `seed` alone. */
function draws(seed) {
  let state = (seed * 2654435761 + 12345) >>> 0;
  return (n) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
}

mkdirSync(dir, { recursive: true });
if (!existsSync(join(dir, 'demo/archive/manifest.csv'))) call('demo', '--out', 'demo');
const archive = join(dir, 'demo/archive');
const [head, ...rows] = readFileSync(join(archive, 'manifest.csv'), 'utf8').trim().split('\n');
const column = Object.fromEntries(head.split(',').map((name, place) => [name, place]));
const fields = rows.map((row) => row.split(','));

/** Four files that cannot be scored, each for a reason of its own. */
function damaged() {
  const bad = join(archive, 'bad');
  mkdirSync(bad, { recursive: true });
  const whole = readFileSync(join(archive, fields[0][column.uri]));
  const made = [];
  for (let k = 0; k < 5; k += 1) {
    writeFileSync(join(bad, `cut${k}.png`), whole.subarray(0, Math.floor(whole.length * (0.3 + 0.1 * k))));
    made.push(`bad/cut${k}.png`);
  }
  for (let k = 0; k < 3; k += 1) {
    writeFileSync(join(bad, `page${k}.png`), '<!DOCTYPE html><html><body>not found</body></html>');
    made.push(`bad/page${k}.png`);
  }
  for (let k = 0; k < 2; k += 1) {
    writeFileSync(join(bad, `empty${k}.png`), '');
    made.push(`bad/empty${k}.png`, `bad/missing${k}.png`);
  }
  return made;
}

const bad = damaged();

function manifest(night, labelled, salt) {
  const draw = draws(night * 31 + salt);
  const shifted = labelled && night === SHIFTED;
  const pool = shifted ? fields.filter((row) => row[column.label_idx] === '1') : [...fields];
  const picked = [];
  for (let k = 0; k < IMAGES_A_NIGHT && pool.length > 0; k += 1) picked.push(pool.splice(draw(pool.length), 1)[0]);
  const lines = [labelled ? 'uri,sample_id,label_idx' : 'uri,sample_id'];
  for (const row of picked) {
    lines.push(labelled ? `${row[column.uri]},${row[column.sample_id]},${row[column.label_idx]}` : `${row[column.uri]},${row[column.sample_id]}`);
  }
  const hostile = labelled && night === DAMAGED ? bad : night % 9 === 4 ? bad.slice(0, 1) : [];
  hostile.forEach((uri, k) => lines.push(labelled ? `${uri},bad-${k},0` : `${uri},bad-${k}`));
  return `${lines.join('\n')}\n`;
}

const SETS = [
  { name: 'smears', labelled: true, modality: 'cell microscopy', dataset: 'smears', site: 'laboratory A', corruptions: '["gaussian_noise", "pixelate"]' },
  { name: 'ward', labelled: false, modality: 'cell microscopy, ward', dataset: 'ward smears', site: 'laboratory B', corruptions: '["brightness_up"]' },
];

function pipeline(set, file, labelled) {
  return `[run]
name = "${set.name}"
partition_size = 32
[run.tags]
modality = "${set.modality}"
dataset = "${set.dataset}"
setting = "${labelled ? 'with labels' : 'without labels'}"
site = "${set.site}"
[input]
root = "demo/archive"
manifest = "${file}"
[labels]
names = ["red blood cell", "white blood cell", "platelet", "plasma background"]
[models]
pretrained = "demo/models/generalist"
expert = "demo/models/expert"
[corrupt]
suite = "dermamnist"
corruptions = ${set.corruptions}
[output]
root = "out"
probs = true
`;
}

const firstWeek = { smears: [], ward: [] };
for (let night = 1; night <= asked; night += 1) {
  for (const [place, set] of SETS.entries()) {
    if (night === MISSING || (place === 1 && night % 7 === 6)) continue;
    const date = `2026-10-${String(night).padStart(2, '0')}`;
    const ids = [`${set.name}-${date}`, ...(place === 0 && night === DOUBLED ? [`${set.name}-${date}-again`] : [])];
    for (const [again, id] of ids.entries()) {
      const folder = `out/reports/${date}/${id}`;
      if (!existsSync(join(dir, folder, 'summary.parquet'))) {
        const file = join(dir, `${id}.csv`);
        writeFileSync(file, manifest(night, set.labelled, place * 7 + again));
        writeFileSync(join(dir, `${id}.toml`), pipeline(set, file, set.labelled));
        call('run', `${id}.toml`, '--run-id', id, '--run-date', date);
        call('evaluate', `out/_t3b/runs/${id}`, '--out', folder, '--draws', '200');
        const against = firstWeek[set.name];
        if (against.length > 2) {
          call('drift', `out/_t3b/runs/${id}`, '--against', ...against.map((other) => `out/_t3b/runs/${other}`), '--out', folder);
        }
      }
      if (night <= 7) firstWeek[set.name].push(id);
    }
  }
}
console.log(`${asked} nights below ${join(dir, 'out')}`);
