// Drives the page in headless Chromium: `node page.mjs FOLDER [--pictures DIR]`. FOLDER holds what `t3b dashboard` wrote.
//
// Checks, at 1280 and 390 px, light and dark, from the folder (file://) and from a static server: no error in the console, no
// request off the folder, no sideways scroll, every control and night in reach of the keyboard with its focus to be seen and a name
// to be heard, filters that change what is shown, one night's page. Ends with 0 when all of it holds, 77 where there is no Chromium.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { extname, join, resolve, sep } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

import { LOOKS, faintTexts, launch, noSidewaysScroll, watched } from './checks.mjs';

const { positionals, values } = parseArgs({ allowPositionals: true, options: { pictures: { type: 'string' } } });
const folder = resolve(positionals[0] ?? '.');
if (values.pictures) mkdirSync(values.pictures, { recursive: true });

/** The folder and nothing else, on loopback. */
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json', '.csv': 'text/csv', '.txt': 'text/plain' };
const server = createServer((request, response) => {
  const path = resolve(folder, `.${decodeURIComponent(new URL(request.url, 'http://x').pathname)}`);
  if (!path.startsWith(folder + sep) || !existsSync(path)) return response.writeHead(404).end();
  response.writeHead(200, { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream' }).end(readFileSync(path));
});
await new Promise((done) => server.listen(0, '127.0.0.1', done));
const served = `http://127.0.0.1:${server.address().port}/`;
const local = `${pathToFileURL(folder)}/`;

const browser = await launch();

/** A page that collects what must not be. */
async function open(base, width, scheme) {
  const page = await browser.newPage();
  const wrong = watched(page, base);
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  await page.setViewport({ width, height: 900, deviceScaleFactor: 1 });
  await page.goto(`${base}index.html`, { timeout: 240_000 });
  await settled(page);
  return { page, wrong };
}

/** When the page shows what its address says, two frames later everything is drawn. */
const settled = async (page) => {
  await page.waitForFunction(() => document.getElementById('main').dataset.shown === location.hash);
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 0)))));
};


async function go(page, hash) {
  await page.evaluate((to) => { location.hash = to; }, hash);
  await settled(page);
}

/** Stops of the Tab key from the top: what each is and whether its focus is to be seen. */
async function stops(page) {
  await page.evaluate(() => { document.activeElement?.blur(); scrollTo(0, 0); });
  const found = [];
  for (let k = 0; k < 400; k += 1) {
    await page.keyboard.press('Tab');
    const stop = await page.evaluate(() => {
      const at = document.activeElement;
      if (!at || at === document.body) return null;
      const style = getComputedStyle(at);
      const name = at.getAttribute('aria-label') ?? at.closest('label')?.innerText ?? at.innerText;
      return { tag: at.tagName, kind: at.className, name: name.trim(), seen: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 1, inside: at.getBoundingClientRect().width > 0 };
    });
    if (!stop) break;
    found.push(stop);
  }
  return found;
}

const shot = async (page, name) => values.pictures && page.screenshot({ path: join(values.pictures, `${name}.png`), fullPage: true });
const rowsOf = (page) => page.$$eval('section[aria-labelledby="runs"] tbody tr', (rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText)));
const pixels = (page) => page.$$eval('canvas', (all) => all.map((canvas) => new Set(new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size));

try {
  for (const base of [local, served]) {
    for (const [width, scheme] of LOOKS) {
      const { page, wrong } = await open(base, width, scheme);
      const name = `${width}-${scheme}`;
      assert.equal(await page.$$eval('[role="alert"]', (all) => all.length), 0, 'the page reports a problem');
      assert.ok((await page.$$('canvas')).length === 5, 'five plots');
      (await pixels(page)).forEach((n) => assert.ok(n > 4, 'a plot is empty'));
      assert.equal(await noSidewaysScroll(page), 0, `${name} scrolls sideways`);
      assert.deepEqual(await faintTexts(page), [], `${name}: too faint`);
      if (base === local) await shot(page, name);

      const all = await rowsOf(page);
      const night = await page.$eval('section[aria-labelledby="runs"] tbody a', (link) => link.getAttribute('href'));
      await go(page, night);
      assert.ok((await page.$$('.night table')).length >= 2, 'one night has tables');
      assert.equal(await noSidewaysScroll(page), 0, `${name}: one night scrolls sideways`);
      assert.deepEqual(await faintTexts(page), [], `${name}, one night: too faint`);
      if (base === local) await shot(page, `${name}-night`);
      await page.goBack();
      await settled(page);
      assert.deepEqual(await rowsOf(page), all, 'the way back');
      assert.deepEqual(wrong, [], name);
      await page.close();
    }
  }

  const { page, wrong } = await open(local, 1280, 'light');
  const all = await rowsOf(page);

  // Every filter with more than one value leaves some runs and not others, or other figures; together they can be undone.
  for (const name of await page.$$eval('.filters select', (all) => all.map((select) => select.name))) {
    const options = await page.$$eval(`select[name="${name}"] option`, (all) => all.map((option) => option.value));
    const before = await page.$eval(`select[name="${name}"]`, (select) => select.value);
    const seen = new Set();
    for (const option of options) {
      await page.select(`select[name="${name}"]`, option);
      await settled(page);
      seen.add(JSON.stringify(await rowsOf(page)));
    }
    if (['modality', 'dataset', 'site', 'setting', 'name', 'method', 'images'].includes(name)) assert.ok(seen.size > 1, `${name} changes nothing`);
    await page.select(`select[name="${name}"]`, before);
    await settled(page);
  }
  assert.deepEqual(await rowsOf(page), all, 'filters undone');

  // What stands there is what the files beside the page say.
  const nights = join(folder, 'nights.json');
  if (existsSync(nights)) {
    const share = (value) => (value == null ? '–' : `${(100 * value).toFixed(1)} %`);
    const said = new Map(all.map((row) => [row.at(-1), row]));
    const lines = JSON.parse(readFileSync(nights, 'utf8'));
    assert.equal(lines.length, all.length);
    for (const line of lines) {
      const [, , measured, , guessed] = said.get(line.run_id);
      assert.deepEqual([measured, guessed], [share(line.top1), share(line.top1_estimated)], line.run_id);
    }
  }

  // The keyboard alone: to the filters, through the nights with arrows, into one, and along a plot.
  const reached = await stops(page);
  assert.ok(reached[0].name.startsWith('Skip'), 'the first stop skips');
  reached.forEach((stop) => assert.ok(stop.name && stop.inside, `a stop without a name: ${JSON.stringify(stop)}`));
  assert.deepEqual(reached.filter((stop) => !stop.seen && !stop.kind.includes('skip')), [], 'a focus that is not to be seen');
  const kinds = (test) => reached.filter(test).length;
  assert.equal(kinds((stop) => stop.tag === 'SELECT'), (await page.$$('.filters select')).length);
  assert.equal(kinds((stop) => stop.kind === 'plot'), 5);
  assert.equal(kinds((stop) => stop.kind.startsWith('mark')), (await page.$$('.strip')).length, 'one stop a time line');
  await page.focus('.strip a[tabindex="0"]');
  const from = await page.evaluate(() => document.activeElement.getAttribute('aria-label'));
  await page.keyboard.press('ArrowLeft');
  assert.notEqual(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), from, 'arrows move along the nights');
  await page.focus('.plot');
  await page.keyboard.press('ArrowLeft');
  await page.keyboard.press('ArrowLeft');
  assert.match(await page.$eval('.values', (line) => line.textContent), /\d{4}: .*%/, 'a plot tells its values');
  await page.keyboard.press('Enter');
  await page.waitForSelector('#night');
  await settled(page);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'night', 'the focus goes along');
  assert.deepEqual(wrong, []);
  console.log(`ok: ${all.length} runs, ${reached.length} stops of the keyboard, Chromium ${await browser.version()}`);
} finally {
  await browser.close();
  server.close();
}
