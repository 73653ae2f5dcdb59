// Makes docs/live-page.png and docs/live-page-phone-dark.png: the real program under the traffic of two
// tenants. `INFERNEO_BINARY=… CHROMIUM=… node tests/page/screenshots.mjs [SECONDS]`, from the project's folder.

import { launch, open, PHONE, shows } from "./browser.mjs";
import { embed, start } from "./program.mjs";

const SECONDS = Number(process.argv[2] ?? 600);
const WORDS = "batches form while the workers are busy and rows of like length share one of them so that little padding is computed".split(" ");
const POLICIES = {
  "acme.toml": 'strategy = "coalescing"\n[match]\ntenants = ["acme"]\n',
  "usual.toml": 'strategy = "adaptive"\n',
};

/** A text of one to sixty words, most of them short. */
const text = () => Array.from({ length: Math.ceil(60 * Math.random() ** 3) || 1 }, () => WORDS[Math.floor(Math.random() * WORDS.length)]).join(" ");

/** One to twelve of them. */
const texts = () => Array.from({ length: Math.ceil(12 * Math.random() ** 2) || 1 }, text);

/** Requests at random moments, in slow waves and now and then a burst, until `end`. */
async function traffic(program, end) {
  while (Date.now() < end) {
    const wave = 6 + 4 * Math.sin(Date.now() / 41_000);
    const burst = Math.random() < 0.012 ? 10 : 1;
    for (let index = 0; index < burst; index += 1) {
      embed(program, "minilm", texts(), ["acme", "globex"][Math.floor(Math.random() * 1.6)]).catch(() => {});
    }
    await new Promise((resolve) => setTimeout(resolve, (-Math.log(1 - Math.random()) * 1000) / wave));
  }
}

const program = await start({ minilm: ".cache/models/minilm" }, POLICIES);
const browser = await launch();
const end = Date.now() + SECONDS * 1000;
const running = traffic(program, end);
await new Promise((resolve) => setTimeout(resolve, Math.max(0, end - Date.now() - 15_000)));
for (const [path, options] of [
  ["docs/live-page.png", { viewport: { width: 1280, height: 1130 } }],
  ["docs/live-page-phone-dark.png", { viewport: { ...PHONE, height: 780 }, colorScheme: "dark", scale: 2 }],
]) {
  const { page, close } = await open(browser, program.admin, options);
  await shows(page, "#headline", /in the last [2-9]/);
  await page.screenshot({ path });
  await close();
}
await running;
await browser.close();
await program.stop();
