// Shows what is known, part by part. Every value may be missing: then there is a dash, or words for why.

function showProgram() {
  const { stats, unreachable, answeredAt } = world;
  say(byId("program"), stats ? `${stats.version ?? ""} · up ${duration(stats.uptime_seconds)}` : "");
  const fresh = answeredAt === null ? "nothing heard yet" : `as of ${clock(answeredAt + world.ahead)}`;
  put(byId("freshness"), sign(unreachable ? "bad" : stats ? "good" : "wait"), " ", unreachable ? "no answer, " : stats ? "live, " : "", fresh);
  document.body.classList.toggle("stale", unreachable !== null);
}

function showState() {
  const found = troubles();
  const { level, word, text } = headline(found);
  byId("state").dataset.level = level;
  put(byId("headline"), sign(level), node("h2", null, word), node("p", null, text));
  put(byId("problems"), found.map((trouble) => node("li", { class: trouble.level }, sign(trouble.level),
    node("div", null, node("p", null, node("strong", null, trouble.word), " ", trouble.text),
      trouble.verbatim ? node("pre", { tabindex: "0" }, String(trouble.verbatim).trimEnd()) : null))));
  document.title = `${found[0]?.word ?? word} · inferneo`;
  announceChange([word, ...new Set(found.map((trouble) => trouble.word))].join(". "));
}

let announced = "";

/** Tells a screen reader what changed in kind; numbers change every second and are not read out. */
function announceChange(text) {
  if (text !== announced) announce(text);
  announced = text;
}

const announce = (text) => say(byId("announcement"), text);

const STATES = { ready: "good", loading: "wait", failed: "bad", unwell: "bad", unloaded: "wait" };

function showModels(names, selected) {
  byId("models").hidden = names.length < 2;
  if (names.length < 2) return;
  put(byId("model-rows"), names.map((name) => {
    const model = world.stats.models[name] ?? {};
    return node("tr", { class: name === selected ? "selected" : null },
      node("th", { scope: "row" }, node("button", { type: "button", "data-model": name, "aria-pressed": String(name === selected) }, name)),
      node("td", null, sign(STATES[conditionOf(model)] ?? "warn"), " ", conditionOf(model)),
      ...[short(model.throughput_rps), milliseconds(model.latency_ms?.p99), count(model.queue_depth)].map((text) => node("td", { class: "number" }, text)));
  }));
}

function showModel(name) {
  const model = world.stats?.models?.[name];
  byId("model").hidden = !model;
  if (!model) return;
  say(byId("model-title"), name);
  const about = [conditionOf(model), model.strategy, model.device && `on ${model.device}`, isNumber(model.workers) && several(model.workers, "worker"), model.last_used ? `last used ${ago(model.last_used, serverNow())}` : "not used yet"];
  say(byId("model-about"), about.filter(Boolean).join(" · "));
  showFigures(model);
  showTimeCharts(name);
  showTimes(model);
  byId("unrecorded").hidden = recorded();
  for (const id of OF_BATCHES) byId(id).hidden = !recorded();
  if (recorded()) showBatchCharts(name, model);
}

/** What shows batches, and so nothing where they are not recorded. */
const OF_BATCHES = ["efficiency", "batches", "lengths", "cost", "decisions"];

/** Whether the program keeps account of batches. */
const recorded = () => world.stats?.features?.performance_monitoring !== false;

function showBatchCharts(name, model) {
  const points = series(name, "padding_efficiency");
  drawLines("efficiency", { span: spanOf(points), lines: [{ name: "padding efficiency", look: "line", points }], format: percent, most: 1, none: "no requests of late" });
  drawBars("batches", { buckets: model.batch_sizes, unit: "rows", things: "batches since the start", none: "no batch yet" });
  drawBars("lengths", { buckets: model.lengths, unit: "tokens", things: "rows since the start", none: "no rows yet" });
  const cost = model.cost_model ?? {};
  drawPrediction("cost", { devices: list(cost.devices), ratio: cost.error_ratio, coverage: cost.coverage_ratio, none: "nothing learned yet" });
}

function showFigures(model) {
  const oldest = isNumber(model.oldest_wait_ms) ? `oldest waits ${milliseconds(model.oldest_wait_ms)}` : bytes(model.queue_bytes);
  const waits = model.queue_depth > 0 ? oldest : "nothing waits";
  const running = model.current_batch_size > 0 ? `${several(model.current_batch_size, "row")} running` : "none running";
  const figures = [
    ["Requests/s", short(model.throughput_rps), `${short(model.total_requests)} since the start`],
    ["p99", milliseconds(model.latency_ms?.p99), `p50 ${milliseconds(model.latency_ms?.p50)}, p95 ${milliseconds(model.latency_ms?.p95)}`],
    ["Waiting", count(model.queue_depth), waits],
    ...(recorded() ? [
      ["Rows a batch", short(model.avg_batch_size), running],
      ["Padding efficiency", percent(model.padding_efficiency), `${short(model.total_tokens)} tokens`],
      ["Answered", percent(model.success_rate), `${short(model.total_rows)} rows`],
    ] : [["Running", count(model.current_batch_size), "rows of the largest batch"], ["Answered", percent(model.success_rate), "of all requests"]]),
  ];
  put(byId("figures"), figures.map(([name, value, more]) => node("div", null, node("dt", null, name), node("dd", null, node("b", null, value), node("span", null, more)))));
}

function showTimeCharts(name) {
  const line = (key, called, look) => ({ name: called, look, points: series(name, key) });
  const span = spanOf(series(name, "queue_depth"));
  const none = "no requests of late";
  drawLines("throughput", { span, lines: [line("rps", "answers a second", "line")], format: short, area: true, none });
  drawLines("latency", { span, lines: [line("p50_ms", "p50", "line thin"), line("p95_ms", "p95", "line dashed"), line("p99_ms", "p99", "line strong")], format: milliseconds, none });
  drawLines("queue", { span, lines: [line("queue_depth", "rows waiting", "line")], format: count, axis: short, most: 4, area: true, none: "not known yet" });
}

function showTimes(model) {
  const rows = [["in all", model.latency_ms], ...(recorded() ? [["waiting", model.queue_ms], ["computing", model.compute_ms]] : [])];
  put(byId("time-rows"), rows.map(([name, times]) => node("tr", null, node("th", { scope: "row" }, name),
    ["p50", "p95", "p99"].map((key) => node("td", { class: "number" }, milliseconds(times?.[key]))))));
  const outcomes = Object.entries(model.outcomes ?? {}).sort((a, b) => b[1] - a[1]);
  put(byId("outcomes"), outcomes.length === 0 ? node("p", null, "No request yet.") : node("ul", { class: "plain pairs" }, outcomes.map(([outcome, number]) =>
    node("li", null, node("span", null, outcome), node("b", null, count(number))))));
}

function showDevices() {
  const devices = list(world.stats?.devices);
  put(byId("devices"), devices.length === 0 ? node("p", null, "None reported.") : node("ul", { class: "plain" }, devices.map((device) => {
    const busy = isNumber(device?.busy_ratio) ? `, busy ${percent(device.busy_ratio)} of the time` : "";
    return node("li", null, node("b", null, device?.name), ` ${several(device?.workers, "worker")}: ${count(device?.running)} running, ${count(device?.ready)} ready${busy}`, workers(device));
  })));
  const gpus = list(world.stats?.gpus);
  put(byId("gpus"), gpus.length === 0 ? node("p", null, "None reported.") : node("ul", { class: "plain" }, gpus.map(showGpu)));
}

/** A square a worker: filled while it runs, hollow while it is free. The words stand before it. */
function workers(device) {
  const all = Math.min(device?.workers ?? 0, 64);
  if (!(all > 0)) return null;
  const squares = Array.from({ length: all }, (_, index) => svg("rect", { class: index < device.running ? "on" : "off", x: index * 12 + 1, y: 1, width: 8, height: 8, rx: 1.5 }));
  return svg("svg", { class: "workers", viewBox: `0 0 ${all * 12} 10`, width: all * 12, height: 10, "aria-hidden": "true" }, squares);
}

function showGpu(gpu) {
  const told = [
    isNumber(gpu?.utilization) && `${percent(gpu.utilization)} busy`,
    isNumber(gpu?.memory_used_bytes) && `${bytes(gpu.memory_used_bytes)} of ${bytes(gpu.memory_total_bytes)}`,
    isNumber(gpu?.temperature_c) && `${count(gpu.temperature_c)} °C`,
    isNumber(gpu?.power_w) && `${count(gpu.power_w)} W`,
    slowed(gpu).length > 0 && `slowed: ${listed(slowed(gpu))}`,
  ].filter(Boolean);
  const name = `${count(gpu?.index)} ${gpu?.name ?? ""}`;
  const device = gpu?.device ? ` (${gpu.device})` : "";
  const figures = gpu?.up === false ? [sign("bad"), " cannot be reached"] : [told.join(", ") || "no figures"];
  return node("li", null, node("b", null, name), `${device} `, figures);
}

/** Why a GPU's clocks are not higher, but for being idle. */
const slowed = (gpu) => list(gpu?.throttle_reasons).filter((reason) => reason !== "gpu_idle");

function showDecisions(name, withModel) {
  const ours = world.decisions && world.decisions.model === name ? world.decisions.batches.slice(-20).reverse() : null;
  say(byId("decisions-about"), withModel ? `of ${name}, newest first` : "newest first");
  put(byId("decision-list"), !ours?.length ? node("li", { class: "none" }, whyNone(name, ours)) : ours.map((decision) => {
    const failed = decision.outcome && decision.outcome !== "ok";
    return node("li", null, node("time", { datetime: decision.at ?? null }, clock(decision.at)),
      node("p", null, failed ? [sign("bad"), node("strong", null, ` ${decision.outcome}: `)] : null, sentence(decision, false)));
  }));
}

/** Why no batch is shown: none yet, none of those the program still knows, or no answer. */
function whyNone(name, batches) {
  if (!world.stats) return "Nothing heard yet.";
  if (!world.stats.models?.[name]?.total_rows) return "No batch yet.";
  if (batches) return "None of the batches that are still known.";
  return world.decisions ? "Asking…" : "Not known at the moment.";
}

function showPolicies() {
  const policy = world.stats?.policy ?? {};
  const files = list(policy.files);
  say(byId("generation"), isNumber(policy.generation) ? `generation ${count(policy.generation)}` : "");
  put(byId("policy-files"), files.length === 0 ? node("p", null, "No file: the built-in policy applies to every request.") : node("ul", { class: "plain files" }, files.map((file) =>
    node("li", null, node("b", null, file?.policy ?? file?.name), ` ${file?.strategy ?? UNKNOWN}`,
      node("span", null, `${file?.name ?? ""} · ${file?.hash ?? UNKNOWN} · `, node("i", null, `loaded ${clockOfDay(file?.loaded_at, serverNow())}`))))));
  put(byId("overrides"), node("ul", { class: "plain" }, list(policy.overrides).map((override) => node("li", null,
    node("p", null, sign("warn"), " ", node("strong", null, "Override: "), `${whom(override?.model)} runs `, node("b", null, override?.strategy),
      ` since ${clockOfDay(override?.since, serverNow())}`, list(override?.policies).length > 0 ? `, in ${listed(list(override.policies), 5)}` : ""),
    node("button", { type: "button", "data-model": override?.model }, "Remove override…")))));
}
