// Opens report pages from disk in headless Chromium and uses them like a reader would.
//
//   node check.mjs STUDY_PAGE HOSTILE_PAGE SCREENSHOT_FOLDER
//
// CHROMIUM names the browser; /usr/bin/chromium when unset. Ends with exit code 1 at the first claim that
// does not hold.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { resolve } from 'node:path';
import { chromium } from 'playwright-core';

const [studyFile, hostileFile, shots] = process.argv.slice(2).map(path => resolve(path));
const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
if (!existsSync(executablePath)) {
  console.error(`${executablePath} must be a browser, but is missing: install chromium or set CHROMIUM`);
  process.exit(1);
}
mkdirSync(shots, { recursive: true });

const browser = await chromium.launch({
  executablePath,
  args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--no-first-run'],
});
const claims = [];
const claim = (text, body) => claims.push({ text, body });

async function open(file, options = {}, before = null) {
  const context = await browser.newContext({ locale: 'en-US', viewport: { width: 1360, height: 900 }, ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.requests = [];
  page.on('console', message => page.complaints.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', error => page.complaints.push(error.message));
  page.on('dialog', dialog => { page.complaints.push('dialog'); dialog.dismiss(); });
  page.on('request', request => page.requests.push(request.url()));
  if (before) await page.addInitScript(before);
  await page.goto(pathToFileURL(file).href);
  return page;
}

async function scrollThrough(page) {
  const height = await page.evaluate(() => document.documentElement.scrollHeight);
  for (let y = 0; y < height; y += 700) {
    await page.evaluate(top => scrollTo({ top, behavior: 'instant' }), y);
    await page.waitForTimeout(40);
  }
  await page.evaluate(() => scrollTo({ top: 0, behavior: 'instant' }));
}

const timeChart = page => page.locator('.chart[data-chart="time"]').first();
const pixels = async chart => createHash('sha256')
  .update(await chart.locator('canvas').evaluate(canvas => canvas.toDataURL())).digest('hex');
const coloured = canvas => {
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    const rgb = [data[i], data[i + 1], data[i + 2]];
    if (data[i + 3] > 128 && Math.max(...rgb) - Math.min(...rgb) > 60) count++;
  }
  return count;
};

/* What a chart's canvas is told to write, with the place: labels of its axes. */
const writeDown = () => {
  const fillText = CanvasRenderingContext2D.prototype.fillText;
  CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
    const at = this.getTransform().transformPoint({ x, y });
    (this.canvas.written ??= []).push({ text, x: at.x, y: at.y });
    return fillText.apply(this, arguments);
  };
};
const lengthLabels = chart => chart.locator('canvas').evaluate(canvas => [...new Map(canvas.written
  .filter(label => /^[\d,]+$/.test(label.text))
  .map(label => [Number(label.text.replaceAll(',', '')), label.x]))].map(([n, x]) => ({ n, x })));

/* Ratio of luminances by WCAG 2 of the faintest text among some elements, with its words. */
const faintest = selector => {
  const channels = colour => colour.match(/[\d.]+/g).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const c = channels(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0.99) return c;
    }
    return [255, 255, 255];
  };
  let least = { ratio: 21, words: '' };
  for (const element of document.querySelectorAll(selector)) {
    if (!element.innerText?.trim() && !(element instanceof SVGElement)) continue;
    const style = getComputedStyle(element);
    const [a, b] = [luminance(channels(element instanceof SVGElement ? style.fill : style.color)), luminance(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < least.ratio) least = { ratio, words: `${element.tagName}: ${element.textContent.slice(0, 60)}` };
  }
  return least;
};

async function hover(page, chart, across = 0.78) {
  await chart.scrollIntoViewIfNeeded();
  const box = await chart.locator('.u-over').boundingBox();
  for (let share = 0.1; share < 0.9; share += 0.04) {
    await page.mouse.move(box.x + box.width * across, box.y + box.height * share);
    await page.waitForTimeout(30);
    if (await chart.locator('.tip').isVisible()) return chart.locator('.tip').innerText();
  }
  return '';
}

claim('every chart is drawn, without a word on the console and without the network', async () => {
  const page = await open(studyFile);
  await scrollThrough(page);
  const charts = await page.locator('.chart .plot').count();
  assert.ok(charts >= 10, `charts ${charts}`);
  assert.equal(await page.locator('.chart .plot:has(canvas), .chart .plot:has(svg)').count(), charts);
  assert.ok(await page.locator('.plot svg path').count() > 10);
  for (const canvas of await page.locator('.plot canvas').all()) {
    const kind = await canvas.evaluate(c => c.closest('.chart').dataset.chart);
    assert.ok(await canvas.evaluate(coloured) > 500, `no lines in the ${kind} chart`);
  }
  assert.deepEqual(page.complaints, []);
  assert.deepEqual(page.requests, [pathToFileURL(studyFile).href]);
  await page.screenshot({ path: `${shots}/light.png`, fullPage: true });
});

claim('the diagram comes first, then answers in words, then charts', async () => {
  const page = await open(studyFile);
  const top = async selector => (await page.locator(selector).first().boundingBox()).y;
  const diagram = await top('.phase');
  assert.ok(diagram < 500, `diagram at ${diagram}`);
  const lead = await top('.lead');
  assert.ok(lead > diagram && lead < await top('.chart'), `lead at ${lead}`);
  assert.match(await page.locator('.answers').textContent(), /is faster than tiled exact attention from n\s=\s[\d,]+ \([\d,]+–[\d,]+\), at [\d.–]+\s% error/);
});

claim('lengths stand on a log2 axis: each doubling is as wide as the next', async () => {
  const page = await open(studyFile, {}, writeDown);
  await scrollThrough(page);
  for (const kind of ['time', 'error', 'memory']) {
    const labels = await lengthLabels(page.locator(`.chart[data-chart="${kind}"]`).first());
    assert.ok(labels.length >= 4, `${kind}: ${labels.length} labels`);
    const steps = labels.slice(1).map((label, i) => {
      const doublings = Math.log2(label.n / labels[i].n);
      assert.ok(Number.isInteger(doublings) && doublings > 0, `${kind}: ${labels[i].n} then ${label.n}`);
      return (label.x - labels[i].x) / doublings;
    });
    for (const step of steps) assert.ok(Math.abs(step - steps[0]) <= 2, `${kind}: ${steps}`);
  }
});

claim('hovering names mechanism, interval, forks, samples and error', async () => {
  const page = await open(studyFile);
  const text = await hover(page, timeChart(page));
  assert.match(text, /n = [\d,]+/);
  assert.match(text, /\([\d.]+ [nµm]?s – [\d.]+ [nµm]?s\)/);
  assert.match(text, /\d+ forks, \d+ samples/);
  assert.match(text, /error|attention/);
});

claim('a switch removes its mechanism from every chart of the panel and brings it back', async () => {
  const page = await open(studyFile);
  await scrollThrough(page);
  const panel = page.locator('.panel').first();
  const before = await pixels(panel.locator('.chart[data-chart="time"]'));
  const dots = await panel.locator('[data-chart="pareto-time"] svg path').count();
  const chip = panel.locator('.chip', { hasText: 'window=64' });
  await chip.click();
  assert.equal(await chip.getAttribute('aria-pressed'), 'false');
  await page.waitForTimeout(80);
  assert.notEqual(await pixels(panel.locator('.chart[data-chart="time"]')), before);
  assert.equal(await panel.locator('[data-chart="pareto-time"] svg path').count(), dots - 1);
  await chip.click();
  await page.waitForTimeout(80);
  assert.equal(await panel.locator('[data-chart="pareto-time"] svg path').count(), dots);
  await panel.getByText('baselines only').click();
  assert.equal(await panel.locator('.chip[aria-pressed="true"]').count(), 2);
});

claim('dragging zooms, and a button resets', async () => {
  const page = await open(studyFile, {}, writeDown);
  const chart = timeChart(page);
  await chart.scrollIntoViewIfNeeded();
  await page.waitForTimeout(100);
  const all = await lengthLabels(chart);
  const whole = await pixels(chart);
  const box = await chart.locator('.u-over').boundingBox();
  await page.mouse.move(box.x + box.width * 0.4, box.y + box.height * 0.3);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.8, box.y + box.height * 0.7, { steps: 6 });
  await chart.locator('canvas').evaluate(canvas => { canvas.written = []; });
  await page.mouse.up();
  await page.waitForTimeout(80);
  assert.notEqual(await pixels(chart), whole);
  const some = await lengthLabels(chart);
  assert.ok(some.length < all.length && some.length > 0, `${some.length} of ${all.length} lengths after the zoom`);
  assert.match(await hover(page, chart, 0.5), /n = [\d,]+/);
  const reset = chart.getByText('reset zoom');
  assert.ok(await reset.isVisible());
  await reset.click();
  assert.ok(!(await reset.isVisible()));
  assert.deepEqual(page.complaints, []);
});

claim('memory shows its three kinds, fronts their length', async () => {
  const page = await open(studyFile);
  await scrollThrough(page);
  const memory = page.locator('.chart[data-chart="memory"]').first();
  const counted = await pixels(memory);
  await memory.getByText('peak resident').click();
  await page.waitForTimeout(80);
  assert.notEqual(await pixels(memory), counted);
  assert.equal(await memory.locator('button[aria-pressed="true"]').innerText(), 'peak resident');
  const front = page.locator('.chart[data-chart="pareto-time"]').first();
  const there = await front.locator('svg').innerHTML();
  await front.locator('select').selectOption('256');
  assert.notEqual(await front.locator('svg').innerHTML(), there);
});

claim('a heading sorts its column up and down', async () => {
  const page = await open(studyFile);
  const table = page.locator('table.sortable').filter({ has: page.locator('th', { hasText: 'time there' }) }).first();
  const head = table.locator('th', { hasText: 'time there' });
  const column = () => table.locator('tbody tr').evaluateAll(rows => rows.map(row => Number(row.cells[3].dataset.value)));
  await head.click();
  const up = await column();
  assert.deepEqual(up, [...up].sort((a, b) => a - b));
  await head.click();
  assert.deepEqual(await column(), [...up].reverse());
  assert.equal(await head.getAttribute('aria-sort'), 'descending');
  const first = table.locator('th').first();
  await first.press('Enter');
  const names = await table.locator('tbody tr').evaluateAll(rows => rows.map(row => row.cells[0].dataset.value));
  assert.deepEqual(names, [...names].sort((a, b) => a.localeCompare(b)));
});

for (const colorScheme of ['light', 'dark']) {
  claim(`a phone of 390 pixels scrolls down only (${colorScheme})`, async () => {
    const page = await open(studyFile, { viewport: { width: 390, height: 844 }, colorScheme, hasTouch: true, isMobile: true });
    await scrollThrough(page);
    for (const details of await page.locator('details').all()) await details.evaluate(d => { d.open = true; });
    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
    assert.deepEqual(page.complaints, []);
    await page.screenshot({ path: `${shots}/phone-${colorScheme}.png`, clip: { x: 0, y: 0, width: 390, height: 4000 }, fullPage: true });
  });
}

claim('dark follows the system, also while the page is open', async () => {
  const page = await open(studyFile, { colorScheme: 'dark' });
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const dark = await ground();
  await scrollThrough(page);
  await page.screenshot({ path: `${shots}/dark.png`, fullPage: true });
  const drawn = await pixels(timeChart(page));
  await page.emulateMedia({ colorScheme: 'light' });
  await page.waitForTimeout(150);
  assert.notEqual(await ground(), dark);
  assert.notEqual(await pixels(timeChart(page)), drawn);
});

for (const colorScheme of ['light', 'dark']) {
  claim(`no text is fainter than 4.5 to 1 on its ground (${colorScheme})`, async () => {
    const page = await open(studyFile, { colorScheme });
    await scrollThrough(page);
    for (const details of await page.locator('details').all()) await details.evaluate(d => { d.open = true; });
    const least = await page.evaluate(faintest, 'p, li, h1, h2, h3, a, td, th, dt, dd, pre, summary, figcaption, figcaption span, button, select, .plot svg text');
    assert.ok(least.ratio >= 4.5, `${least.ratio.toFixed(2)}: ${least.words}`);
  });

  claim(`no label of a front or roofline leaves its drawing, at 390 pixels neither (${colorScheme})`, async () => {
    for (const width of [1280, 390]) {
      const page = await open(studyFile, { viewport: { width, height: 844 }, colorScheme });
      await scrollThrough(page);
      const outside = await page.evaluate(() => [...document.querySelectorAll('.plot svg text')].filter(text => {
        const inner = text.getBoundingClientRect(), outer = text.ownerSVGElement.getBoundingClientRect();
        return inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.top < outer.top - 1 || inner.bottom > outer.bottom + 1;
      }).map(text => text.textContent));
      assert.deepEqual(outside, [], `at ${width}`);
    }
  });
}

claim('without scripts the answers and tables are still there', async () => {
  const page = await open(studyFile, { javaScriptEnabled: false });
  assert.ok(await page.locator('.lead').first().isVisible());
  assert.ok(await page.locator('table').first().isVisible());
});

claim('hostile names do nothing', async () => {
  const page = await open(hostileFile);
  await scrollThrough(page);
  const chart = timeChart(page);
  await hover(page, chart);
  for (const chip of await page.locator('.chip').all()) await chip.click();
  assert.equal(await page.evaluate(() => window.hacked), undefined);
  assert.equal(await page.locator('img').count(), 0);
  assert.equal(await page.locator('script').count(), 3);
  assert.match(await page.locator('.panel').first().innerText(), /<img src=x/);
  assert.deepEqual(page.complaints, []);
});

let failed = 0;
for (const { text, body } of claims) {
  try {
    await body();
    console.log(`ok    ${text}`);
  } catch (error) {
    failed++;
    console.log(`FAILS ${text}\n      ${error.message.split('\n').join('\n      ')}`);
  }
}
await browser.close();
console.log(`${claims.length - failed} of ${claims.length} claims hold; screenshots in ${shots}`);
process.exit(failed ? 1 : 0);
