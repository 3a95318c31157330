// Looks at every page of the dashboard in Chromium, of a database under load that
// main.go serves under a prefix: nothing on the console, no violation that axe finds, no
// sideways scroll on a phone and at 200 %, numbers that move, and content without
// JavaScript.
//
//   node run.mjs [--warm SECONDS] [--only PAGE] [--shots DIRECTORY [--unjudged]] [--url ADDRESS]
//
// --shots makes the pictures of docs/dashboard besides, or with --unjudged nothing else. --url
// looks at what runs already.
// CHROMIUM is the browser, if it is not called chromium.

import { execFileSync, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { chromium } from "playwright-core";

const here = dirname(fileURLToPath(import.meta.url));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const { values: flags } = parseArgs({ options: {
  warm: { type: "string", default: "15" },
  only: { type: "string" },
  shots: { type: "string" },
  unjudged: { type: "boolean", default: false },
  url: { type: "string" },
} });

const problems = [];
const counts = { pages: 0, axe: 0, widths: 0, shots: 0 };
const problem = (where, what) => {
  problems.push(`${where}: ${what}`);
  console.error(`FAIL ${where}: ${what}`);
};

// serve starts the program with the database, and ends it by closing its input.
async function serve() {
  if (flags.url) return { url: flags.url, end: async () => {} };
  const work = mkdtempSync(join(tmpdir(), "holdfast-browsertest-"));
  const program = join(work, "shop"); // its name is on the pages
  execFileSync("go", ["build", "-o", program, "."], { cwd: here, stdio: ["ignore", "inherit", "inherit"] });
  const child = spawn(program, ["-dir", work], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.on("exit", resolve));
  const url = await new Promise((resolve, reject) => {
    let told = "";
    child.stdout.on("data", (text) => {
      told += text;
      if (told.includes("\n")) resolve(told.split("\n")[0]);
    });
    child.on("exit", (code) => reject(new Error(`the program ended with ${code} before it served anything`)));
  });
  const end = async () => {
    child.stdin.end();
    const code = await ended;
    if (code !== 0) problem("the program", `ended with ${code}`);
    rmSync(work, { recursive: true, force: true });
  };
  return { url, end };
}

// listen gathers what a page complains about.
function listen(page, where) {
  page.on("console", (m) => {
    if (m.type() === "error" || m.type() === "warning") problem(where(), `console: ${m.text()}`);
  });
  page.on("pageerror", (e) => problem(where(), `script: ${e.message}`));
  page.on("response", (r) => {
    if (r.status() >= 400) problem(where(), `${r.status()} for ${r.url()}`);
  });
  page.on("requestfailed", (r) => {
    // What a page was still loading when it was left ends so; its streams always do.
    if (!r.failure().errorText.includes("ERR_ABORTED")) problem(where(), `no answer for ${r.url()}: ${r.failure().errorText}`);
  });
}

// addresses are those of all pages of a database: the menu's, and one statement's.
async function addresses(browser, base) {
  const page = await browser.newPage();
  await page.goto(base);
  const found = await page.$$eval("nav.menu a", (all) => all.map((a) => a.href));
  if (found.some((a) => a.endsWith("/queries"))) {
    await page.goto(found.find((a) => a.endsWith("/queries")));
    const one = await page.$$eval('main a[href*="query?"]', (all) => all.map((a) => a.href));
    if (one.length === 0) problem("queries", "no statement is linked");
    else found.push(one[0]);
  }
  await page.close();
  return found.map((a) => new URL(a));
}

const named = (address) => address.pathname.split("/").pop() || "overview";

function at(address, params) {
  const u = new URL(address);
  for (const [name, value] of Object.entries(params)) u.searchParams.set(name, value);
  return u.href;
}

// judge has axe look at a page.
async function judge(page, where) {
  await page.evaluate(axe);
  const found = await page.evaluate(() =>
    window.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }),
  );
  counts.axe++;
  for (const v of found.violations) {
    problem(where, `axe ${v.id} (${v.impact}): ${v.help}: ${v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160)).join(" | ")}`);
  }
}

async function fits(page, where) {
  const [wide, view] = await page.evaluate(() => [document.scrollingElement.scrollWidth, window.innerWidth]);
  counts.widths++;
  if (wide > view) {
    const guilty = await page.evaluate(() => {
      const inScroll = (e) => e.closest(".scroll, pre") !== null;
      return [...document.querySelectorAll("body *")]
        .filter((e) => e.getBoundingClientRect().right > window.innerWidth + 1 && !inScroll(e))
        .slice(0, 3)
        .map((e) => e.outerHTML.slice(0, 120));
    });
    problem(where, `is ${wide} px wide where there are ${view}: ${guilty.join(" | ")}`);
  }
}

async function everyPage(browser, list) {
  for (const theme of ["light", "dark"]) {
    for (const lang of ["en", "de"]) {
      const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, colorScheme: theme, locale: lang });
      const page = await context.newPage();
      let where = "";
      listen(page, () => where);
      for (const address of list) {
        where = `${named(address)} (${lang}, ${theme})`;
        const answer = await page.goto(at(address, { lang, theme }));
        counts.pages++;
        if (answer.status() !== 200) continue; // listen has told
        if ((await page.locator("h1").count()) !== 1) problem(where, "has not one h1");
        for (const open of await page.locator("details").all()) await open.evaluate((d) => (d.open = true));
        await judge(page, where);
      }
      await context.close();
    }
  }
}

async function narrow(browser, list) {
  for (const [what, view] of Object.entries({
    "at 320 px": { viewport: { width: 320, height: 640 } },
    "at 200 %": { viewport: { width: 640, height: 450 }, deviceScaleFactor: 2 },
  })) {
    for (const lang of ["en", "de"]) {
      const context = await browser.newContext(view);
      const page = await context.newPage();
      let where = "";
      listen(page, () => where);
      for (const address of list) {
        where = `${named(address)} ${what} (${lang})`;
        await page.goto(at(address, { lang }));
        await fits(page, where);
      }
      await context.close();
    }
  }
}

// moves waits for a number to become another one by itself.
async function moves(browser, address) {
  const page = await browser.newPage();
  listen(page, () => "live");
  await page.goto(address.href);
  const read = () => page.$$eval(".card .value", (all) => all.map((e) => e.textContent).join(" "));
  const before = await read();
  const clock = await page.textContent("#pulse-time");
  try {
    await page.waitForFunction(
      ([values, time]) =>
        document.querySelector("#pulse-time").textContent !== time &&
        [...document.querySelectorAll(".card .value")].map((e) => e.textContent).join(" ") !== values,
      [before, clock],
      { timeout: 20_000 },
    );
  } catch {
    problem("overview", "no number has moved within 20 s");
  }
  await page.close();
}

// gaps looks at a line of two parts, between which nobody has looked: nothing is drawn there.
async function gaps(browser, address) {
  const page = await browser.newPage(); // reading its canvas back makes the console complain
  const rows = [...Array(20).keys(), ...Array.from({ length: 20 }, (_, i) => 80 + i)].map(
    (t) => `<tr><th scope="row" data-v="${1e6 + t}">t</th><td data-v="50">50</td>${t === 90 ? '<td data-v="20">20</td>' : "<td>–</td>"}</tr>`,
  );
  await page.route(address.href, async (route) => {
    const answer = await route.fetch();
    const figure =
      `<figure class="chart" id="chart-gap" data-unit="" data-kind="lines" data-gap="6"><figcaption>gap</figcaption><div class="picture"></div>` +
      `<details class="table"><summary>table</summary><table><thead><tr><th>time</th><th>a</th><th>b</th></tr></thead><tbody>${rows.join("")}</tbody></table></details></figure>`;
    await route.fulfill({ response: answer, body: (await answer.text()).replace(/<main[^>]*>/, (main) => main + figure) });
  });
  await page.goto(address.href);
  await page.waitForSelector("#chart-gap canvas", { timeout: 10_000 });
  await page.waitForTimeout(500); // it is drawn in a microtask, after its fonts
  // How many columns of a part of the plot have the colour of a series.
  const drawn = await page.evaluate(() => {
    const canvas = document.querySelector("#chart-gap canvas");
    const over = document.querySelector("#chart-gap .u-over").getBoundingClientRect();
    const all = canvas.getBoundingClientRect();
    const scale = canvas.width / all.width;
    const colour = (name) => {
      const probe = document.createElement("canvas").getContext("2d");
      probe.fillStyle = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
      probe.fillRect(0, 0, 1, 1);
      return probe.getImageData(0, 0, 1, 1).data;
    };
    const columns = (name, from, to) => {
      const [r, g, b] = colour(name);
      const x = Math.round((over.left - all.left + from * over.width) * scale);
      const width = Math.round((to - from) * over.width * scale);
      const { data } = canvas.getContext("2d").getImageData(x, 0, width, canvas.height);
      const found = new Set();
      for (let i = 0; i < data.length; i += 4) {
        if (data[i + 3] > 100 && Math.abs(data[i] - r) + Math.abs(data[i + 1] - g) + Math.abs(data[i + 2] - b) < 40) found.add((i / 4) % width);
      }
      return found.size / width;
    };
    return { before: columns("--pic-s1", 0.02, 0.18), between: columns("--pic-s1", 0.25, 0.75), alone: columns("--pic-s2", 0.85, 0.97) };
  });
  if (drawn.before < 0.5) problem("a line with a gap", `only ${drawn.before} of its first part is drawn`);
  if (drawn.between > 0) problem("a line with a gap", `${drawn.between} of the gap is drawn over`);
  if (drawn.alone === 0) problem("a line with a gap", "a value that stands alone is not drawn");
  await page.close();
}

async function withoutScript(browser, list) {
  const context = await browser.newContext({ javaScriptEnabled: false });
  const page = await context.newPage();
  for (const address of list) {
    await page.goto(address.href);
    const text = await page.locator("main").innerText();
    if (text.length < 200) problem(named(address), `says only ${text.length} characters without JavaScript`);
  }
  await context.close();
}

const mostBytes = 150_000;

// fewColours returns what makes a picture smaller; see png/main.go.
function fewColours() {
  const work = mkdtempSync(join(tmpdir(), "holdfast-png-"));
  process.on("exit", () => rmSync(work, { recursive: true, force: true }));
  const program = join(work, "png");
  execFileSync("go", ["build", "-o", program, "./png"], { cwd: here });
  return (picture) => execFileSync(program, { input: picture, maxBuffer: 1 << 26 });
}


// shoot makes the pictures of the documentation.
async function shoot(browser, list, directory) {
  mkdirSync(directory, { recursive: true });
  const reduce = fewColours();
  const context = await browser.newContext({ viewport: { width: 1180, height: 900 }, colorScheme: "light", locale: "en", reducedMotion: "reduce" });
  const page = await context.newPage();
  const special = { storage: { sizes: "1", range: "1h" }, backups: { range: "1h" } };
  for (const address of list) {
    const name = named(address);
    await page.goto(at(address, { lang: "en", theme: "light", ...special[name] }));
    await page.waitForTimeout(2500); // a few seconds of live data
    // The page of locks shows most while somebody waits; if nobody does for long, so be it.
    if (name === "locks") await page.waitForSelector("#live-waiters tbody tr", { timeout: 60_000 }).catch(() => {});
    const height = Math.min(await page.evaluate(() => document.scrollingElement.scrollHeight), 1500);
    await page.setViewportSize({ width: 1180, height });
    const picture = reduce(await page.screenshot({ clip: { x: 0, y: 0, width: 1180, height } }));
    writeFileSync(join(directory, `${name}.png`), picture);
    if (picture.length > mostBytes) problem(name, `its picture has ${picture.length} bytes`);
    await page.setViewportSize({ width: 1180, height: 900 });
    counts.shots++;
  }
  await context.close();
}

const site = await serve();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM || execFileSync("which", ["chromium"], { encoding: "utf8" }).trim(),
  args: ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
});
try {
  await new Promise((resolve) => setTimeout(resolve, 1000 * Number(flags.warm)));
  const base = site.url + "d/shop/";
  const list = (await addresses(browser, base)).filter((a) => !flags.only || named(a) === flags.only);
  if (!flags.unjudged) {
    await everyPage(browser, list);
    await narrow(browser, list);
    await moves(browser, new URL(base));
    await gaps(browser, new URL(base));
    await withoutScript(browser, list);
  }
  if (flags.shots) await shoot(browser, list, flags.shots);
  console.log(
    `${list.length} pages, looked at ${counts.pages} times in two languages and two themes; axe ran ${counts.axe} times; ` +
      `${counts.widths} times no sideways scroll wanted; ${counts.shots} pictures; ${problems.length} problems`,
  );
} finally {
  await browser.close();
  await site.end();
}
process.exitCode = problems.length > 0 ? 1 : 0;
