// What holds for every page of ours, whoever made it: the page of all nights, and the report of an evaluation.
import { existsSync } from 'node:fs';

/** Says why nothing is checked here, and ends. */
function skip(why) {
  console.log(`skipped: ${why}`);
  process.exit(77);
}

/** Headless Chromium; ends the program with 77 where there is none. */
export async function launch() {
  const known = [process.env.T3B_CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
  const executablePath = known.find((path) => path && existsSync(path));
  const puppeteer = await import('puppeteer-core').catch(() => skip('puppeteer-core is not installed (npm ci in dashboard/)'));
  if (!executablePath) skip('no Chromium here');
  // A loaded machine starts a browser late; what hangs is ended by whoever called this.
  return puppeteer.default.launch({ executablePath, headless: true, timeout: 240_000, protocolTimeout: 240_000, args: ['--no-sandbox', '--disable-gpu', '--font-render-hinting=none'] });
}

/** The combinations of width and colours that are looked at. */
export const LOOKS = [[1280, 'light'], [390, 'dark'], [1280, 'dark'], [390, 'light']];

/** Collects what must not be: errors, warnings, failures, and requests that do not begin with `base`. */
export function watched(page, base) {
  const wrong = [];
  page.on('console', (message) => ['error', 'warn', 'warning'].includes(message.type()) && wrong.push(`console: ${message.text()}`));
  page.on('pageerror', (error) => wrong.push(`error: ${error.message}`));
  page.on('requestfailed', (request) => wrong.push(`failed: ${request.url()}`));
  page.on('request', (request) => !request.url().startsWith(base) && !request.url().startsWith('data:') && wrong.push(`request off the folder: ${request.url()}`));
  return wrong;
}

export const noSidewaysScroll = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

/** The contrast of every text against what is behind it, where it is less than WCAG's 4.5. */
export const faintTexts = (page) =>
  page.evaluate(() => {
    const channel = (value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    const light = ([r, g, b]) => 0.2126 * channel(r / 255) + 0.7152 * channel(g / 255) + 0.0722 * channel(b / 255);
    // rgb() counts to 255, color(srgb ...) to 1; the fourth part says how much is seen.
    const parts = (color) => {
      const [r, g, b, alpha = 1] = color.replace(/^color\(srgb/, '').match(/[\d.e-]+/g).map(Number);
      const most = color.startsWith('color(') ? 255 : 1;
      return [r * most, g * most, b * most, alpha];
    };
    const behind = (element) => {
      const layers = [];
      for (let at = element; at; at = at.parentElement) {
        layers.push(parts(getComputedStyle(at).backgroundColor));
        if (layers.at(-1)[3] === 1) break;
      }
      return layers.reduceRight((under, [r, g, b, alpha]) => [r, g, b].map((value, k) => alpha * value + (1 - alpha) * under[k]), [255, 255, 255]);
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
