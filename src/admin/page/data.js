// Asks the program: /stats and a model's /decisions each second, /stats/history each ten; not while the tab is hidden,
// and ever more seldom while nobody answers. Keeps what it was told; does not know how it is shown.

const SECOND = 1000;
const HISTORY_EVERY = 10 * SECOND;
const LONGEST_PAUSE = 15 * SECOND;
const PATIENCE = 5 * SECOND;
/** How far back the charts go. */
const SPAN = 600 * SECOND;

const world = {
  stats: null,
  /** The last batches of one model, as `{model, batches}`; null while they are not known. */
  decisions: null,
  history: null,
  /** Since when nobody answers, and what was said last; null while all is well. */
  unreachable: null,
  answeredAt: null,
  /** The server's clock less ours, in milliseconds. */
  ahead: 0,
  /** Of each model, what each answer of /stats said: newest last. */
  samples: new Map(),
};

/** The server's time. */
const serverNow = () => Date.now() + world.ahead;

async function read(path, options = {}) {
  const response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE), ...options });
  const text = await response.text();
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${refusalIn(text)}`);
  return JSON.parse(text);
}

/** The message of a refusal; the text itself where it is not one of ours. */
function refusalIn(text) {
  try {
    return String(JSON.parse(text).error ?? text);
  } catch {
    return text.trim() || "nothing";
  }
}

/** Polls until the page goes, and calls `changed` whenever there is something new to see; `shown` is the model to ask for. */
function poll(changed, shown) {
  let timer = null;
  let failures = 0;
  let historyAt = -Infinity;
  let round = 0;

  async function tick() {
    timer = null;
    const mine = (round += 1);
    try {
      hear(await read("stats"));
      failures = 0;
      world.unreachable = null;
      world.decisions = await decisionsOf(shown());
      if (Date.now() - historyAt >= HISTORY_EVERY) {
        historyAt = Date.now();
        hearHistory(await read("stats/history").catch(() => null));
      }
    } catch (error) {
      failures += 1;
      world.unreachable = { since: world.unreachable?.since ?? Date.now(), error: reasonOf(error) };
    }
    changed();
    if (mine === round && !document.hidden) timer = setTimeout(tick, pause(failures));
  }

  function restart() {
    clearTimeout(timer);
    round += 1;
    if (!document.hidden) tick();
  }

  document.addEventListener("visibilitychange", restart);
  restart();
  return restart;
}

/** The last batches of a model; null where nobody says. */
async function decisionsOf(model) {
  if (model === undefined) return null;
  const batches = await read(`decisions?model=${encodeURIComponent(model)}&n=20`).catch(() => null);
  return Array.isArray(batches) ? { model, batches } : null;
}

/** A second, and doubling while nobody answers. */
const pause = (failures) => Math.min(SECOND * 2 ** failures, LONGEST_PAUSE);

function reasonOf(error) {
  if (error.name === "TimeoutError") return `no answer within ${duration(PATIENCE / SECOND)}`;
  return error instanceof TypeError ? "no connection" : error.message;
}

const list = (value) => (Array.isArray(value) ? value : []);

function hear(stats) {
  if (stats === null || typeof stats !== "object") throw new Error("stats is not an object");
  if (stats.uptime_seconds < world.stats?.uptime_seconds) {
    world.samples.clear();
    world.history = null;
  }
  world.stats = stats;
  world.answeredAt = Date.now();
  for (const [name, model] of Object.entries(stats.models ?? {})) {
    const samples = world.samples.get(name) ?? [];
    samples.push(sample(model ?? {}, samples.at(-1)));
    while (samples[0].at < serverNow() - SPAN) samples.shift();
    world.samples.set(name, samples);
  }
}

/** What one answer says of a model; rates are of the time since the answer before. */
function sample(model, before) {
  const { p50 = null, p95 = null, p99 = null } = model.latency_ms ?? {};
  const at = serverNow();
  const [answered, tokens, padded] = [model.outcomes?.ok, model.total_tokens, model.padded_tokens].map((total) => total ?? 0);
  const grown = { answered: answered - before?.answered, tokens: tokens - before?.tokens, padded: padded - before?.padded };
  return {
    at, answered, tokens, padded,
    rps: before && grown.answered >= 0 ? grown.answered / ((at - before.at) / SECOND) : null,
    p50_ms: p50,
    p95_ms: p95,
    p99_ms: p99,
    queue_depth: model.queue_depth,
    padding_efficiency: grown.padded > 0 ? grown.tokens / grown.padded : null,
    outcomes: model.outcomes ?? {},
  };
}

function hearHistory(history) {
  const now = moment(history?.now);
  if (now === null) return;
  const ahead = now - Date.now();
  for (const samples of world.samples.values()) {
    for (const each of samples) each.at += ahead - world.ahead;
  }
  world.ahead = ahead;
  world.history = history;
}

/** Points `[time, value or null]` of one of a model's series: the history, then what was heard since. */
function series(name, key) {
  const past = world.history?.models?.[name]?.[key] ?? [];
  const end = moment(world.history?.now) ?? -Infinity;
  const step = (world.history?.step_seconds ?? 2) * SECOND;
  const points = past.map((value, index) => [end - (past.length - 1 - index) * step, isNumber(value) ? value : null]);
  // Percentiles of /stats are of a longer time than those of the history: they would bend its line.
  if (past.length > 0 && key.endsWith("_ms")) return points;
  const begin = past.length > 0 ? end : -Infinity;
  const later = (world.samples.get(name) ?? []).filter(({ at }) => at > begin);
  return points.concat(later.map((each) => [each.at, isNumber(each[key]) ? each[key] : null]));
}

/** By how much each outcome of a model grew within the last minute of watching, and how many seconds that was. */
function recentOutcomes(name) {
  const samples = (world.samples.get(name) ?? []).filter(({ at }) => at >= serverNow() - 60 * SECOND);
  if (samples.length < 2) return { seconds: 0, outcomes: {} };
  const [first, last] = [samples[0], samples.at(-1)];
  const grown = Object.entries(last.outcomes).map(([outcome, now]) => [outcome, now - (first.outcomes[outcome] ?? 0)]);
  return { seconds: (last.at - first.at) / SECOND, outcomes: Object.fromEntries(grown.filter(([, more]) => more > 0)) };
}
