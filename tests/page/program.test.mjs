// The page of the real program: traffic, a broken and mended policy, a switched strategy. Without
// INFERNEO_BINARY there is nothing to test.

import assert from "node:assert/strict";
import { test } from "node:test";
import { hides, launch, open, shows } from "./browser.mjs";
import { embed, start } from "./program.mjs";

const POLICIES = {
  "acme.toml": 'strategy = "coalescing"\n[match]\ntenants = ["acme"]\n',
  "usual.toml": 'strategy = "adaptive"\n',
};

test("the real program is shown live", { skip: !process.env.INFERNEO_BINARY }, async () => {
  const program = await start({ tiny: ".cache/models/test/tiny_text" }, POLICIES);
  const browser = await launch();
  try {
    const { page, close } = await open(browser, program.admin);
    await shows(page, "#headline", "Ready");
    await shows(page, "#decision-list", "No batch yet.");
    await shows(page, "#policy-files", "acme coalescing");

    await Promise.all(Array.from({ length: 40 }, () => embed(program, "tiny", ["hello", "hello world"], "acme")));
    await shows(page, "#decision-list", /rows? of .* for acme under acme \(coalescing\) left because .*, took .*, waited /);
    await shows(page, "#outcomes", /ok\s*40/);
    await shows(page, "#batches .values", /batch/);
    await shows(page, "#devices", "cpu");
    assert.equal(await page.locator("#problems li").count(), 0);

    program.policy("acme.toml", 'strategy = "coalescing"\n[batch]\nmax_batch_sise = 8\n');
    await shows(page, "#problems pre", /acme\.toml:3:1.*max_batch_sise/s);
    await shows(page, "#headline", "Ready, with trouble");
    program.policy("acme.toml", `${POLICIES["acme.toml"]}[batch]\nmax_batch_size = 8\n`);
    await hides(page, "#problems", "Policy error");

    await page.locator("#switch-strategy").selectOption("fixed_size");
    await page.getByRole("button", { name: "Switch…" }).click();
    await page.getByRole("button", { name: "Switch to fixed_size" }).click();
    await shows(page, "#overrides", "every model runs fixed_size");
    await embed(program, "tiny", ["hello"], "acme");
    await shows(page, "#decision-list li:first-child", "under acme (fixed_size)");
    await page.getByRole("button", { name: "Remove override…" }).click();
    await page.getByRole("button", { name: "Remove the override" }).click();
    await hides(page, "#overrides", "fixed_size");
    await close();
  } finally {
    await browser.close();
    await program.stop();
  }
});
