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

async function open(file, options = {}) {
  const context = await browser.newContext({ locale: 'en-US', viewport: { width: 1360, height: 900 }, ...options });
  const page = await context.newPage();
  page.complaints = [];
  page.requests = [];
  page.on('console', message => page.complaints.push(`${message.type()}: ${message.text()}`));
  page.on('pageerror', error => page.complaints.push(error.message));
  page.on('dialog', dialog => { page.complaints.push('dialog'); dialog.dismiss(); });
  page.on('request', request => page.requests.push(request.url()));
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

async function hover(page, chart) {
  await chart.scrollIntoViewIfNeeded();
  const box = await chart.locator('.u-over').boundingBox();
  for (let share = 0.1; share < 0.9; share += 0.04) {
    await page.mouse.move(box.x + box.width * 0.78, box.y + box.height * share);
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

claim('answers in words come first', async () => {
  const page = await open(studyFile);
  const lead = await page.locator('.lead').first().boundingBox();
  assert.ok(lead.y < 500, `lead at ${lead.y}`);
  assert.match(await page.locator('.answers').innerText(), /is faster than tiled exact attention from n = [\d,]+ \([\d,]+–[\d,]+\), at [\d.–]+ % error/);
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
  const page = await open(studyFile);
  const chart = timeChart(page);
  await chart.scrollIntoViewIfNeeded();
  await page.waitForTimeout(100);
  const whole = await pixels(chart);
  const box = await chart.locator('.u-over').boundingBox();
  await page.mouse.move(box.x + box.width * 0.4, box.y + box.height * 0.3);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.8, box.y + box.height * 0.7, { steps: 6 });
  await page.mouse.up();
  await page.waitForTimeout(80);
  assert.notEqual(await pixels(chart), whole);
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
  const table = page.locator('table.sortable').first();
  const head = table.locator('th', { hasText: 'time there' });
  const column = () => table.locator('tbody tr').evaluateAll(rows => rows.map(row => Number(row.cells[3].dataset.value)));
  await head.click();
  const up = await column();
  assert.deepEqual(up, [...up].sort((a, b) => a - b));
  await head.click();
  assert.deepEqual(await column(), [...up].reverse());
  assert.equal(await head.getAttribute('aria-sort'), 'descending');
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
