// The page before a stand-in for the program: every state it must show, and what it must never do.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { hides, launch, open, PHONE, shows, until } from "./browser.mjs";
import { mock } from "./mock.mjs";
import { busyModel, decision, history, idleModel, policyError, sentence, stats } from "./states.mjs";

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

/** A test with a server of its own and the page open before it. */
function pageTest(name, answers, body, options = {}) {
  test(name, async () => {
    const server = await mock({ decisions: [], history: { step_seconds: 2, now: new Date().toISOString(), models: {} }, ...answers() });
    const { page, close } = await open(browser, server.url, options);
    try {
      await body(page, server);
      await close();
    } finally {
      await server.close();
    }
  });
}

const busy = () => ({ stats: stats({ minilm: busyModel() }), decisions: [decision({ batch: 16, rows: 1 }), decision()], history: history() });
const count = (server, method, url) => server.asked.filter((request) => request.method === method && request.url.startsWith(url)).length;
const scrollsSideways = (page) => page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);

pageTest("before any traffic it says so", () => ({ stats: stats() }), async (page) => {
  await shows(page, "#headline", "Ready");
  await shows(page, "#headline", "No requests at the moment");
  await shows(page, "#decision-list", "No batch yet.");
  await shows(page, "#throughput", "0");
  await shows(page, "#latency", "no requests of late");
  await shows(page, "#cost", "nothing learned yet");
  await shows(page, "#gpus", "None reported.");
  assert.equal(await page.locator("text=/NaN|undefined|null|Infinity/").count(), 0);
});

pageTest("with traffic it shows figures, charts and decisions in words", busy, async (page) => {
  await shows(page, "#figures", "413");
  await shows(page, "#figures", "41 ms");
  await shows(page, "#figures", "94 %");
  await shows(page, "#decision-list li:first-child", sentence);
  await shows(page, "#times", "9.6 ms");
  await shows(page, "#cost", "off by 6.1 % of late");
  assert.equal(await page.locator("#cost .point").count(), 30);
  assert.ok((await page.locator("#batches .barmark").count()) >= 7);
  assert.match(await page.locator("#latency .plot").getAttribute("aria-label"), /p99: .*\sms now, at most .*\sms at \d\d:\d\d:\d\d/);
  assert.match(await page.locator("#latency path.line.strong").getAttribute("d"), /^M(\S+ \S+L){200}/);
});

pageTest("charts are read with the arrow keys", busy, async (page) => {
  await shows(page, "#figures", "413");
  await page.locator("#latency .plot").press("ArrowLeft");
  await shows(page, "#latency .values", /\d\d:\d\d:\d\d/);
  await shows(page, "#queue .values", /\d\d:\d\d:\d\d/);
  await page.locator("#latency .plot").press("Escape");
  await hides(page, "#latency .values", /\d\d:\d\d:\d\d/);
  await page.locator("#batches .plot").press("ArrowRight");
  await shows(page, "#batches .values", "1 rows: 900 (5.1 %)");
});

pageTest("it follows what changes", busy, async (page, { answers }) => {
  await shows(page, "#figures", "413");
  answers.stats = stats({ minilm: { ...busyModel(), throughput_rps: 977, queue_depth: 3 } });
  answers.decisions.push(decision({ batch: 18, rows: 7, reason: "idle" }));
  await shows(page, "#figures", "977");
  await shows(page, "#decision-list li:first-child", "7 rows of 9–14 tokens for acme under bulk (coalescing) left because a worker was free");
});

pageTest("a policy error is shown as it is, and goes with its cause", busy, async (page, { answers }) => {
  await shows(page, "#headline", "Ready");
  const good = answers.stats.policy;
  answers.stats.policy = { ...good, last_error: policyError, last_error_at: new Date().toISOString() };
  await shows(page, "#problems", "Policy error");
  assert.equal(await page.locator("#problems pre").textContent(), policyError);
  await shows(page, "#problems", "generation 3 stays in force");
  await shows(page, "#announcement", "Policy error");
  assert.match(await page.title(), /^Policy error/);
  answers.stats.policy = good;
  await hides(page, "#problems", "Policy error");
});

pageTest("states are told in words", () => ({ stats: stats({ a: idleModel(), b: { ...idleModel(), state: "loading" } }, { ready: false }) }), async (page, { answers }) => {
  await shows(page, "#headline", "Loadingb is loading. 1 model of 2 ready.");
  answers.stats.models.b.state = "failed";
  await shows(page, "#headline", "Not readyb has failed. 1 model of 2 ready.");
  answers.stats.models.b = { ...idleModel(), ailment: "canary failed: no memory" };
  await shows(page, "#headline", "Not readyb is unwell. 1 model of 2 ready.");
  await shows(page, "#problems pre", "canary failed: no memory");
  answers.stats = stats({ a: idleModel(), b: { ...idleModel(), state: "unloaded" } });
  await shows(page, "#headline", "ReadyNo requests at the moment");
  await shows(page, "#headline", "b is unloaded.");
  answers.stats = { ...stats(), ready: false, draining: true, inflight_rows: 12 };
  await shows(page, "#headline", "DrainingNo new requests are taken; 12 rows still in flight.");
  answers.stats = stats({ minilm: idleModel() }, { devices: [{ name: "cpu", workers: 2, ready: 1, running: 0, busy_ratio: null }] });
  await shows(page, "#problems", "1 of 2 workers on cpu not ready.");
});

pageTest("overload is told by reason, and a growing queue", busy, async (page, { answers }) => {
  await shows(page, "#figures", "413");
  const model = answers.stats.models.minilm;
  model.outcomes = { ...model.outcomes, overloaded: 42, deadline_exceeded: 3 };
  answers.history.models.minilm.queue_depth.fill(4);
  answers.history.models.minilm.queue_depth.fill(300, 294);
  model.queue_depth = 380;
  await shows(page, "#problems", /minilm: 42 × overloaded and 3 × deadline_exceeded in the last \d+\ss\./);
  await shows(page, "#problems", /Queue growing minilm: from \d+ rows to 380 within 30 s/);
});

pageTest("of several models one is chosen, by keyboard too", () => {
  const names = ["minilm", "reranker", "an-embedder-with-a-rather-long-name"];
  return { stats: stats(Object.fromEntries(names.map((name) => [name, busyModel()]))), history: history(names), decisions: [decision(), decision({ model: "reranker", rows: 5 })] };
}, async (page) => {
  await shows(page, "#model-title", "minilm");
  await shows(page, "#decision-list", "12 rows");
  await page.getByRole("button", { name: "reranker" }).press("Enter");
  await shows(page, "#model-title", "reranker");
  await shows(page, "#decision-list", "5 rows");
  await hides(page, "#decision-list", "12 rows");
  await page.reload();
  await shows(page, "#model-title", "reranker");
});

pageTest("the batches of a quiet model are asked for by its name", () => {
  const names = ["minilm", "quiet", "idle"];
  const models = { ...Object.fromEntries(names.map((name) => [name, busyModel()])), idle: idleModel() };
  return { stats: stats(models), history: history(names), decisions: [decision({ model: "quiet", rows: 5 }), ...Array.from({ length: 200 }, () => decision())] };
}, async (page, { answers }) => {
  await shows(page, "#decision-list", "12 rows");
  await page.getByRole("button", { name: "quiet" }).click();
  await shows(page, "#decision-list", "5 rows");
  answers.decisions.shift();
  await shows(page, "#decision-list", "None of the batches that are still known.");
  await page.getByRole("button", { name: "idle" }).click();
  await shows(page, "#decision-list", "No batch yet.");
});

pageTest("without performance monitoring it says so once, and draws nothing empty", () => {
  const all = stats();
  const ofBatches = ["total_rows", "total_tokens", "padded_tokens", "padding_efficiency", "avg_batch_size", "queue_ms", "compute_ms", "batch_sizes", "lengths", "cost_model"];
  const model = { ...busyModel(), ...Object.fromEntries(ofBatches.map((key) => [key, null])) };
  return { stats: { ...all, models: { minilm: model }, features: { ...all.features, performance_monitoring: false } } };
}, async (page, { answers }) => {
  await shows(page, "#unrecorded", "Performance monitoring is off");
  await shows(page, "#figures", "413");
  await shows(page, "#latency .values", "41 ms");
  await shows(page, "#throughput .plot[aria-label*='at most']", "");
  for (const id of ["efficiency", "batches", "lengths", "cost", "decisions"]) assert.equal(await page.locator(`#${id}`).isVisible(), false, id);
  assert.equal(await page.getByText("onitoring is off").filter({ visible: true }).count(), 1);
  assert.doesNotMatch(await page.locator("#model").innerText(), /–(\s|$)/);
  answers.stats = busy().stats;
  await shows(page, "#cost", "off by 6.1 % of late");
  assert.equal(await page.locator("#unrecorded").isVisible(), false);
});

pageTest("GPUs are shown where there are any", () => ({
  stats: stats(undefined, { gpus: [
    { index: 0, uuid: "GPU-1", name: "NVIDIA L4", up: true, device: "cuda:0", utilization: 0.64, memory_used_bytes: 6 * 2 ** 30, memory_total_bytes: 24 * 2 ** 30, temperature_c: 61, power_w: 58.2, throttle_reasons: ["gpu_idle", "sw_thermal_slowdown"] },
    { index: 1 }, { index: 2, name: "NVIDIA L4", up: false },
  ] }),
}), async (page) => {
  await shows(page, "#gpus", "0 NVIDIA L4 (cuda:0) 64 % busy, 6 GiB of 24 GiB, 61 °C, 58 W, slowed: sw_thermal_slowdown");
  await shows(page, "#gpus", "cannot be reached");
  await shows(page, "#gpus", "no figures");
});

pageTest("an unreachable program is told, with since when, and found again", busy, async (page, server) => {
  await shows(page, "#headline", "Ready");
  await server.close();
  await shows(page, "#headline", "Unreachable");
  await shows(page, "#problems", /No answer since \d\d:\d\d:\d\d .*: no connection/);
  await shows(page, "#figures", "413");
  const before = server.asked.length;
  await server.reopen();
  await shows(page, "#headline", "Ready");
  assert.ok(server.asked.length > before);
}, { expected: /ERR_CONNECTION_|ERR_EMPTY_RESPONSE|ERR_SOCKET/ });

pageTest("it asks more seldom while nobody answers well", busy, async (page, server) => {
  await shows(page, "#headline", "Ready");
  server.answers.stats = undefined;
  await shows(page, "#problems", "stats answered 404: not found");
  const before = count(server, "GET", "/stats");
  const begin = Date.now();
  await until(() => count(server, "GET", "/stats") >= before + 2, "two more questions");
  assert.ok(Date.now() - begin > 4_000, "the pauses grow");
}, { expected: /status of 404/ });

pageTest("a hidden tab asks nothing", busy, async (page, server) => {
  const hide = (hidden) => page.evaluate((value) => {
    Object.defineProperty(document, "hidden", { value, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  }, hidden);
  await until(() => count(server, "GET", "/stats") >= 3, "polling");
  await hide(true);
  // One round of three questions may be under way; polling on would ask six more.
  const before = server.asked.length;
  await page.waitForTimeout(3_500);
  assert.ok(server.asked.length <= before + 3, `${server.asked.length - before} questions while hidden`);
  const hidden = server.asked.length;
  await hide(false);
  await until(() => server.asked.length > hidden, "polling again");
});

pageTest("a switch asks first, and sends one request on confirmation alone", () => {
  const answers = busy();
  answers.strategy = ({ method, body }) => {
    const overrides = method === "PUT" ? [{ ...JSON.parse(body), since: new Date().toISOString(), policies: ["acme", "default"] }] : [];
    answers.stats.policy = { ...answers.stats.policy, overrides, generation: 4 };
    return [200, answers.stats.policy];
  };
  return answers;
}, async (page, server) => {
  await shows(page, "#headline", "Ready");
  await page.getByRole("combobox", { name: "Strategy" }).selectOption("throughput_optimized");
  await shows(page, "#switch-about", "to fill large batches");
  await page.getByRole("button", { name: "Switch…" }).click();
  await shows(page, "dialog", "Switch every model to throughput_optimized?");
  await shows(page, "dialog", "It holds for each policy until the policy's file changes");
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("button", { name: "Switch…" }).click();
  await page.keyboard.press("Escape");
  await page.locator("dialog").waitFor({ state: "hidden" });
  assert.equal(count(server, "PUT", "/strategy"), 0);
  await page.getByRole("button", { name: "Switch…" }).click();
  await page.getByRole("button", { name: "Switch to throughput_optimized" }).dblclick();
  await shows(page, "#overrides", "every model runs throughput_optimized");
  assert.deepEqual(server.asked.filter(({ method }) => method !== "GET").map(({ method, url, body }) => [method, url, body]), [["PUT", "/strategy", '{"model":"*","strategy":"throughput_optimized"}']]);
  await page.getByRole("button", { name: "Remove override…" }).click();
  assert.equal(count(server, "DELETE", "/strategy"), 0);
  await page.getByRole("button", { name: "Remove the override" }).click();
  await hides(page, "#overrides", "every model");
  assert.equal(count(server, "DELETE", "/strategy"), 1);
});

pageTest("the question is answered by keyboard, and gives the focus back", () => {
  const answers = { ...busy(), strategy: () => [400, { error: "no", reason: "invalid_request" }] };
  answers.stats.policy.overrides = [{ model: "*", strategy: "coalescing", since: "2026-01-05T03:01:12Z", policies: ["acme"] }, { model: "minilm", strategy: "fixed_size", since: "2026-01-05T03:01:12Z", policies: ["acme"] }];
  return answers;
}, async (page, { answers }) => {
  const focused = (id) => page.locator(`#${id}:focus`).waitFor();
  await page.locator("#overrides button").nth(1).press("Enter");
  await shows(page, "dialog", "From the next batch on, the override of every model holds here too.");
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#overrides button:focus").count(), 1);
  await page.locator("#switch-open").press("Enter");
  await shows(page, "dialog", "It takes the place of the override of minilm.");
  await focused("dialog-cancel");
  await page.keyboard.press("Tab");
  await focused("dialog-confirm");
  await page.keyboard.press("Enter");
  await shows(page, "#dialog-error", "Not done");
  await focused("dialog-confirm");
  await page.keyboard.press("Shift+Tab");
  await focused("dialog-cancel");
  await page.keyboard.press("Enter");
  await focused("switch-open");
  await page.locator("#switch-model").selectOption("minilm");
  await page.locator("#switch-open").press("Enter");
  await shows(page, "dialog", "all requests for minilm are batched this way, under every policy that applies to minilm.");
  answers.strategy = () => {
    answers.stats.policy = { ...answers.stats.policy, overrides: [] };
    return [200, answers.stats.policy];
  };
  await page.keyboard.press("Escape");
  await page.locator("#overrides button").nth(1).press("Enter");
  await page.locator("#dialog-confirm").press("Enter");
  await hides(page, "#overrides", "minilm");
  await focused("switch-open");
}, { expected: /status of 400/ });

pageTest("a switch that is refused says why and stays open", () => ({ ...busy(), strategy: () => [400, { error: "strategy `x` is not known", reason: "invalid_request" }] }), async (page) => {
  await shows(page, "#headline", "Ready");
  await page.getByRole("button", { name: "Switch…" }).click();
  await page.getByRole("button", { name: "Switch to adaptive" }).click();
  await shows(page, "#dialog-error", "strategy answered 400: strategy `x` is not known");
}, { expected: /status of 400/ });

const HOSTILE = `"><img src=x onerror="window.harmed=1"><script>window.harmed=1</script>\${window.harmed=1}`;

pageTest("names from outside stay text", () => ({
  stats: stats({ [HOSTILE]: { ...busyModel(), device: HOSTILE, strategy: HOSTILE, outcomes: { [HOSTILE]: 3 } }, other: idleModel() }, {
    version: HOSTILE, devices: [{ name: HOSTILE, workers: 1, ready: 1, running: 0 }], gpus: [{ index: 0, name: HOSTILE, utilization: 0.1 }],
    policy: { generation: 1, last_error: HOSTILE, last_error_at: HOSTILE, files: [{ name: HOSTILE, policy: HOSTILE, strategy: HOSTILE, hash: HOSTILE, loaded_at: HOSTILE }], overrides: [{ model: HOSTILE, strategy: HOSTILE, since: HOSTILE, policies: [HOSTILE] }] },
  }),
  decisions: [decision({ model: HOSTILE, policy: HOSTILE, strategy: HOSTILE, tenants: [HOSTILE], reason: HOSTILE, outcome: HOSTILE })],
  strategy: () => [200, {}],
}), async (page) => {
  await shows(page, "#model-title", HOSTILE);
  await shows(page, "#decision-list", HOSTILE);
  assert.equal(await page.locator("#problems pre").textContent(), HOSTILE);
  await page.getByRole("button", { name: "Remove override…" }).click();
  await shows(page, "dialog", HOSTILE);
  assert.equal(await page.locator("img, script[src], main script").count(), 0);
  assert.equal(await page.evaluate(() => window.harmed), undefined);
});

pageTest("what is missing is a dash, never a fault", () => ({ stats: { models: { bare: {} } }, decisions: [{}], history: {} }), async (page, { answers }) => {
  await shows(page, "#model-title", "bare");
  for (const odd of [{ models: null }, { models: { x: null }, policy: null, devices: [null], gpus: null }, { models: { x: { cost_model: { devices: [null] }, lengths: [null], batch_sizes: {} } } }, {}]) {
    answers.stats = { version: `odd ${JSON.stringify(odd).length}`, ...odd };
    await shows(page, "#program", answers.stats.version);
  }
});

for (const colorScheme of ["light", "dark"]) {
  pageTest(`${colorScheme}: on a phone nothing scrolls sideways, and text can be read`, () => {
    const names = ["minilm", "an-embedder-with-a-rather-long-name"];
    const answers = { ...busy(), stats: stats(Object.fromEntries(names.map((name) => [name, busyModel()]))), history: history(names) };
    answers.stats.policy = { ...answers.stats.policy, last_error: policyError, overrides: [{ model: names[1], strategy: "throughput_optimized", since: "2026-01-05T03:01:12Z", policies: ["acme"] }] };
    return answers;
  }, async (page) => {
    await shows(page, "#headline", "Ready");
    assert.equal(await scrollsSideways(page), false);
    const [ground, ink] = await page.evaluate(() => ["backgroundColor", "color"].map((name) => getComputedStyle(document.body)[name].match(/\d+/g).reduce((sum, each) => sum + Number(each), 0)));
    assert.ok(colorScheme === "dark" ? ground < 150 && ink > 600 : ground > 600 && ink < 150, `${ground} ${ink}`);
    await page.getByRole("button", { name: "Switch…" }).click();
    await shows(page, "dialog", "Switch every model");
    assert.equal(await scrollsSideways(page), false);
  }, { viewport: PHONE, colorScheme });
}
