// Makes docs/live-page.png and docs/live-page-phone-dark.png: the real program under the traffic of two
// tenants, a few connections that ask again as soon as they are answered. It takes three and a half minutes:
//   node tests/page/screenshots.mjs [SECONDS]
// The program is target/release/inferneo or INFERNEO_BINARY, the browser /usr/bin/chromium or CHROMIUM;
// `make page-test` fetches what else it needs.

import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { launch, open, PHONE, shows } from "./browser.mjs";
import { embed, start } from "./program.mjs";

const SECONDS = Number(process.argv[2] ?? 215);
/** How long the pages are open before their pictures are taken: over a minute, which is how far back they look. */
const WATCHED = 70;
const CONNECTIONS = 20;
const POLICIES = {
  "acme.toml": 'strategy = "coalescing"\n[match]\ntenants = ["acme"]\n',
  "usual.toml": 'strategy = "adaptive"\n',
};
const PICTURES = [
  ["docs/live-page.png", { viewport: { width: 1280, height: 1130 } }],
  ["docs/live-page-phone-dark.png", { viewport: { ...PHONE, height: 780 }, colorScheme: "dark", scale: 2 }],
];

const inProject = (path) => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const texts = readFileSync(inProject("src/bench/texts/mixed.txt"), "utf8").trim().split("\n");
const [queries, passages] = [texts.filter((text) => text.length <= 120), texts.filter((text) => text.length > 120)];
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let next = 0;

/** A query, or one time in twelve a passage. */
const text = () => {
  next += 1;
  const from = next % 12 === 0 ? passages : queries;
  return from[next % from.length];
};

/** One connection: a text at a time, now and then four; in slow waves some of the connections rest. */
async function caller(program, number, until) {
  const tenant = number % 3 === 0 ? "acme" : "globex";
  while (Date.now() < until) {
    const awake = CONNECTIONS * (0.8 + 0.3 * Math.sin(Date.now() / 17_000));
    if (number >= awake) {
      await pause(200);
      continue;
    }
    const rows = Math.random() < 0.08 ? 4 : 1;
    const asked = Array.from({ length: rows }, text);
    await embed(program, "minilm", asked, tenant);
  }
}

process.env.INFERNEO_BINARY ??= inProject("target/release/inferneo");
if (!existsSync(process.env.INFERNEO_BINARY)) throw new Error("there is no target/release/inferneo: cargo build --release");
const program = await start({ minilm: ".cache/models/minilm" }, POLICIES);
const browser = await launch();
try {
  const end = Date.now() + SECONDS * 1000;
  const callers = Array.from({ length: CONNECTIONS }, (_, number) => caller(program, number, end));
  await pause((SECONDS - WATCHED) * 1000);
  const opened = [];
  for (const [path, options] of PICTURES) opened.push({ path, ...(await open(browser, program.admin, options)) });
  await pause((WATCHED - 8) * 1000);
  for (const { page, path, close } of opened) {
    await shows(page, "#headline", "in the last minute");
    await page.screenshot({ path: inProject(path) });
    await close();
  }
  await Promise.all(callers);
} finally {
  await browser.close();
  await program.stop();
}
