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

const SKIPPED = 77;
const { positionals, values } = parseArgs({ allowPositionals: true, options: { pictures: { type: 'string' } } });
const folder = resolve(positionals[0] ?? '.');
const executablePath = [process.env.T3B_CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find((path) => path && existsSync(path));
let puppeteer;
try {
  puppeteer = (await import('puppeteer-core')).default;
} catch {
  console.log('skipped: puppeteer-core is not installed (npm ci in dashboard/)');
  process.exit(SKIPPED);
}
if (!executablePath) {
  console.log('skipped: no Chromium here');
  process.exit(SKIPPED);
}
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

const browser = await puppeteer.launch({ executablePath, headless: true, args: ['--no-sandbox', '--disable-gpu', '--font-render-hinting=none'] });

/** A page that collects what must not be. */
async function open(base, width, scheme) {
  const page = await browser.newPage();
  const wrong = [];
  page.on('console', (message) => ['error', 'warn', 'warning'].includes(message.type()) && wrong.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => wrong.push(`error: ${error.message}`));
  page.on('requestfailed', (request) => wrong.push(`failed: ${request.url()}`));
  page.on('request', (request) => !request.url().startsWith(base) && !request.url().startsWith('data:') && wrong.push(`request off the folder: ${request.url()}`));
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  await page.setViewport({ width, height: 900, deviceScaleFactor: 1 });
  await page.goto(`${base}index.html`);
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

const noSidewaysScroll = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

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

/** The contrast of every text against what is behind it, where it is less than WCAG's 4.5. */
const faintTexts = (page) =>
  page.evaluate(() => {
    const channel = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255);
    const parts = (color) => color.match(/[\d.]+/g).map(Number);
    const behind = (element) => {
      for (let at = element; at; at = at.parentElement) {
        const color = parts(getComputedStyle(at).backgroundColor);
        if (color.length < 4 || color[3] > 0) return color;
      }
      return [255, 255, 255];
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const faint = [];
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      if (!walker.currentNode.textContent.trim() || element.closest('script, noscript, .skip') || element.getBoundingClientRect().width === 0) continue;
      const [a, b] = [light(parts(getComputedStyle(element).color)), light(behind(element))];
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (contrast < 4.5) faint.push(`${contrast.toFixed(2)} ${element.className || element.tagName}: ${walker.currentNode.textContent.trim().slice(0, 40)}`);
    }
    return faint;
  });

const shot = async (page, name) => values.pictures && page.screenshot({ path: join(values.pictures, `${name}.png`), fullPage: true });
const rowsOf = (page) => page.$$eval('section[aria-labelledby="runs"] tbody tr', (rows) => rows.map((row) => [...row.cells].map((cell) => cell.innerText)));
const pixels = (page) => page.$$eval('canvas', (all) => all.map((canvas) => new Set(new Uint32Array(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.buffer)).size));

try {
  for (const base of [local, served]) {
    for (const [width, scheme] of [[1280, 'light'], [390, 'dark'], [1280, 'dark'], [390, 'light']]) {
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
