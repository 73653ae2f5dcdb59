// A fresh Chromium, and pages that fail their test on anything a careful operator would not want to see:
// a warning or error in the console, an exception, a request to anybody but the page's own server.

import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
export const DESKTOP = { width: 1320, height: 900 };
export const PHONE = { width: 360, height: 740 };
/** Longest a test waits for something to be seen, in milliseconds. */
export const PATIENCE = 15_000;

/** Starts a browser with a profile of its own, which goes with it. */
export const launch = () => chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });

/** Opens `url` in a browser context of its own; `expected` are console lines the test provokes. */
export async function open(browser, url, { viewport = DESKTOP, colorScheme = "light", expected = null, scale = 1 } = {}) {
  const context = await browser.newContext({ viewport, colorScheme, deviceScaleFactor: scale });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const faults = [];
  const origin = new URL(url).origin;
  await context.route("**/*", (route) => {
    if (new URL(route.request().url()).origin === origin) return route.continue();
    faults.push(`asked another origin: ${route.request().url()}`);
    return route.abort();
  });
  page.on("console", (line) => {
    const silent = !["error", "warning"].includes(line.type()) || expected?.test(line.text());
    if (!silent) faults.push(`console ${line.type()}: ${line.text()}`);
  });
  page.on("pageerror", (error) => faults.push(`exception: ${error.stack}`));
  await page.goto(url);
  const close = async () => {
    await context.close();
    assert.deepEqual(faults, []);
  };
  return { page, close };
}

/** Waits until an element's text holds `text`. */
export const shows = (page, selector, text) => page.locator(selector).filter({ hasText: text }).first().waitFor();

/** Waits until no element under `selector` holds `text`. */
export const hides = (page, selector, text) => page.locator(selector).filter({ hasText: text }).first().waitFor({ state: "detached" });

/** Waits until `condition` holds, asked every 50 ms. */
export async function until(condition, what) {
  const end = Date.now() + PATIENCE;
  while (!(await condition())) {
    assert.ok(Date.now() < end, `in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
