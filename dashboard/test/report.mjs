// Opens a report of `t3b evaluate` in headless Chromium: `node report.mjs REPORT.html [--pictures DIR]`.
//
// Checks, at 1280 and 390 px, light and dark: no error in the console, no request but for the file itself, no sideways scroll, no text
// too faint; that every plot has names on both axes and numbers along them, lines or bars inside its frame and a legend where it has
// several lines; that every picture can be decoded and has words; that nothing sticks out on paper. Ends with 0 when all of it
// holds, 77 where there is no Chromium.
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

import { LOOKS, faintTexts, launch, noSidewaysScroll, watched } from './checks.mjs';

const { positionals, values } = parseArgs({ allowPositionals: true, options: { pictures: { type: 'string' } } });
const file = pathToFileURL(resolve(positionals[0] ?? 'report.html')).href;
if (values.pictures) mkdirSync(values.pictures, { recursive: true });
const browser = await launch();

/** What each plot has. */
const plots = (page) =>
  page.$$eval('figure svg:not(.key)', (all) =>
    all.map((svg) => {
      const frame = svg.getBoundingClientRect();
      const outside = [...svg.querySelectorAll('text, polyline, rect, circle')].filter((one) => {
        const box = one.getBoundingClientRect();
        return box.left < frame.left - 1 || box.right > frame.right + 1 || box.top < frame.top - 1 || box.bottom > frame.bottom + 1;
      });
      const figure = svg.closest('figure');
      const keys = figure.querySelectorAll('.legend span').length;
      return {
        title: figure.querySelector('figcaption').innerText,
        names: [...svg.querySelectorAll('text.name')].map((name) => name.textContent),
        ticks: [...svg.querySelectorAll('text:not(.name)')].length,
        lines: new Set([...svg.querySelectorAll('polyline')].map((line) => line.getAttribute('class'))).size,
        marks: svg.querySelectorAll('polyline, rect, circle').length,
        keys,
        outside: outside.map((one) => `${one.tagName} ${one.textContent}`),
      };
    }),
  );

try {
  let seen = {};
  for (const [width, scheme] of LOOKS) {
    const page = await browser.newPage();
    const wrong = watched(page, file);
    const name = `${width}-${scheme}`;
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
    await page.setViewport({ width, height: 900, deviceScaleFactor: 1 });
    await page.goto(file, { timeout: 240_000 });
    assert.equal(await noSidewaysScroll(page), 0, `${name} scrolls sideways`);
    assert.deepEqual(await faintTexts(page), [], `${name}: too faint`);
    const found = await plots(page);
    for (const plot of found) {
      assert.equal(plot.names.length, 2, `axes without names: ${JSON.stringify(plot)}`);
      assert.ok(plot.ticks >= 4 && plot.marks > 0, `an empty plot: ${JSON.stringify(plot)}`);
      assert.ok(plot.lines < 3 || plot.keys >= 2, `lines without a legend: ${JSON.stringify(plot)}`);
      assert.deepEqual(plot.outside, [], `${name}, ${plot.title}: sticks out`);
    }
    const images = await page.$$eval('img', (all) => all.map((image) => [image.complete && image.naturalWidth > 0, image.alt !== '', image.src.startsWith('data:image/')]));
    images.forEach((image) => assert.deepEqual(image, [true, true, true], 'a picture'));
    if (values.pictures) await page.screenshot({ path: join(values.pictures, `report-${name}.png`), fullPage: true });
    // A4 with a margin of a centimetre.
    await page.emulateMediaType('print');
    await page.setViewport({ width: 718, height: 1040, deviceScaleFactor: 1 });
    assert.equal(await noSidewaysScroll(page), 0, `${name}: too wide for paper`);
    assert.deepEqual(wrong, [], name);
    seen = { sets: (await page.$$('section')).length, plots: found.length, images: images.length };
    await page.close();
  }
  console.log(`ok: ${JSON.stringify(seen)}, Chromium ${await browser.version()}`);
} finally {
  await browser.close();
}
