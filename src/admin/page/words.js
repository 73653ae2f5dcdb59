// What is the matter, in words. Decides what deserves a line at the top and how a decision reads.

/** Refusals that are the caller's own doing: told, but no trouble of ours. */
const CALLERS = new Set(["invalid_request", "unsupported", "unauthenticated", "forbidden", "unknown_model", "not_found", "too_large", "rate_limited", "cancelled"]);

/** The state as `{level, word, text}`: one word, then why. */
function headline(found) {
  const { stats, unreachable } = world;
  if (unreachable) {
    return { level: "bad", word: "Unreachable", text: stats ? "What follows is the last that was heard." : "Nothing was heard from the program yet." };
  }
  if (!stats) return { level: "wait", word: "Asking…", text: "" };
  if (stats.draining) return { level: "warn", word: "Draining", text: `No new requests are taken; ${several(stats.inflight_rows ?? 0, "row")} still in flight.` };
  const models = Object.entries(stats.models ?? {});
  // What somebody unloaded is told, and missed by nobody.
  const unloaded = models.filter(([, model]) => conditionOf(model) === "unloaded").map(([name]) => name);
  const missing = models.filter(([name, model]) => conditionOf(model) !== "ready" && !unloaded.includes(name));
  if (missing.length > 0 || stats.ready === false) {
    const conditions = [...new Set(missing.map(([, model]) => conditionOf(model)))];
    const why = conditions.map((condition) => {
      const names = missing.filter(([, model]) => conditionOf(model) === condition).map(([name]) => name);
      const [one, many] = condition === "failed" ? ["has", "have"] : ["is", "are"];
      return `${listed(names)} ${names.length > 1 ? many : one} ${condition}`;
    });
    const text = `${why.join("; ") || "every model is loaded, but the program does not want traffic"}. ${several(models.length - missing.length, "model")} of ${models.length} ready.`;
    return conditions.join() === "loading"
      ? { level: "wait", word: "Loading", text }
      : { level: "bad", word: "Not ready", text };
  }
  const resting = unloaded.length > 0 ? ` ${listed(unloaded)} ${unloaded.length > 1 ? "are" : "is"} unloaded.` : "";
  const text = models.length === 0 ? "No model is served here." : flow(models.map(([name]) => name)) + resting;
  if (found.some(({ level }) => level !== "wait")) return { level: "warn", word: "Ready, with trouble", text };
  return { level: "good", word: "Ready", text };
}

/** A model's condition in one word: its state, or "unwell" where its health check found something. */
const conditionOf = (model) => (model?.ailment && model.state === "ready" ? "unwell" : (model?.state ?? "unknown"));

/** "412 requests a second, nothing refused in the last minute." */
function flow(names) {
  const rate = names.reduce((sum, name) => sum + (world.stats.models[name].throughput_rps ?? 0), 0);
  const refused = names.reduce((sum, name) => sum + refusals(name).reduce((all, [, number]) => all + number, 0), 0);
  const seconds = Math.max(0, ...names.map((name) => recentOutcomes(name).seconds));
  const asked = rate > 0 ? `${short(rate)} requests a second` : "No requests at the moment";
  if (seconds < 1) return `${asked}.`;
  return `${asked}; ${refused > 0 ? `${count(refused)} refused` : "nothing refused"} in the last ${watched(seconds)}.`;
}

const watched = (seconds) => (seconds >= 55 ? "minute" : duration(Math.max(1, seconds)));

/** A model's refusals within the last minute of watching, most first. */
function refusals(name) {
  return Object.entries(recentOutcomes(name).outcomes).filter(([outcome]) => outcome !== "ok").sort((a, b) => b[1] - a[1]);
}

/** Everything that is the matter, the worst first: `{level, word, text, verbatim}`. */
function troubles() {
  const { stats, unreachable } = world;
  const found = [];
  if (unreachable) {
    found.push({ level: "bad", word: "No answer", text: `since ${clock(unreachable.since)} (${duration((Date.now() - unreachable.since) / 1000)}): ${unreachable.error}. This page keeps trying.` });
  }
  if (!stats) return found;
  const { policy = {} } = stats;
  if (policy?.last_error) {
    const when = policy.last_error_at ? ` (${clockOfDay(policy.last_error_at, serverNow())}, ${ago(policy.last_error_at, serverNow())})` : "";
    found.push({ level: "warn", word: "Policy error", text: `The last change was not taken${when}; generation ${count(policy.generation)} stays in force.`, verbatim: policy.last_error });
  }
  for (const [name, model] of Object.entries(stats.models ?? {})) {
    if (model?.ailment) found.push({ level: "bad", word: "Unwell", text: `${name}, by its health check:`, verbatim: model.ailment });
  }
  for (const name of Object.keys(stats.models ?? {})) found.push(...overload(name), ...refused(name));
  for (const device of list(stats.devices)) {
    const gone = device?.workers - device?.ready;
    if (gone > 0 && stats.ready !== false) found.push({ level: "warn", word: "Workers missing", text: `${gone} of ${several(device.workers, "worker")} on ${device.name} not ready.` });
  }
  const ranks = ["bad", "warn", "wait"];
  return found.sort((a, b) => ranks.indexOf(a.level) - ranks.indexOf(b.level));
}

/** Whether a model's queue grows: the last third of 30 s well above the first. */
function overload(name) {
  const recent = series(name, "queue_depth").filter(([at, rows]) => at >= serverNow() - 30 * SECOND && rows !== null).map(([, rows]) => rows);
  const third = Math.floor(recent.length / 3);
  if (third < 2) return [];
  const mean = (rows) => rows.reduce((sum, each) => sum + each, 0) / rows.length;
  const [before, now] = [mean(recent.slice(0, third)), mean(recent.slice(-third))];
  if (now < 20 || now < before * 1.5) return [];
  const oldest = world.stats.models[name].oldest_wait_ms;
  const wait = isNumber(oldest) && oldest > 0 ? `; the oldest has waited ${milliseconds(oldest)}` : "";
  return [{ level: "warn", word: "Queue growing", text: `${name}: from ${several(Math.round(before), "row")} to ${count(recent.at(-1))} within 30 s${wait}.` }];
}

/** What a model refused within the last minute that was not the callers' own doing. */
function refused(name) {
  const all = refusals(name).filter(([reason]) => !CALLERS.has(reason));
  if (all.length === 0) return [];
  const { seconds } = recentOutcomes(name);
  const failed = all.some(([reason]) => reason === "execution_failed" || reason === "upstream_failed");
  const overloaded = all.some(([reason]) => reason === "overloaded");
  const word = failed ? "Failures" : overloaded ? "Overload" : "Refusals";
  const text = `${name}: ${listed(all.map(([reason, number]) => `${count(number)} × ${reason}`), 5)} in the last ${watched(seconds)}.`;
  return [{ level: failed ? "bad" : "warn", word, text }];
}

const RELEASES = {
  full: "because the batch was full",
  best: "because it had as many rows as pay most",
  memory_scarce: "because its device has little memory left",
  preferred: "because it had reached a preferred size",
  delay: "because it had waited as long as it may",
  deadline: "because a deadline was near",
  trimmed: "small, so that a deadline in it is met",
  overload: "before more urgent ones, because not all can be served in time",
  idle: "because a worker was free",
  alone: "alone, because it is not batched",
  retry: "again, because a batch it was in had failed",
  script: "because its policy's script put it first",
  drain: "because the program is draining",
};

/** A decision as a sentence: text, and names as elements. */
function sentence(decision, withModel) {
  const name = (text) => node("b", null, text);
  const tenants = list(decision.tenants);
  const parts = [node("span", { class: "rows" }, several(decision.rows, "row")), span(list(decision.lengths))];
  if (withModel) parts.push(" of ", name(decision.model));
  if (tenants.length > 0) parts.push(" for ", name(listed(tenants)));
  if (decision.policy) parts.push(" under ", name(decision.policy), decision.strategy && decision.strategy !== decision.policy ? ` (${decision.strategy})` : "");
  parts.push(` left ${RELEASES[decision.reason] ?? `because of ${decision.reason ?? "an unknown reason"}`}; `);
  parts.push(isNumber(decision.predicted_ms) ? `predicted ${milliseconds(decision.predicted_ms)}, ` : "");
  parts.push(isNumber(decision.compute_ms) ? `took ${milliseconds(decision.compute_ms)}, ` : "");
  parts.push(`waited ${milliseconds(decision.queue_ms)}.`);
  return parts;
}

/** " of 9–14 tokens", or nothing where no lengths are known. */
function span(lengths) {
  const known = lengths.filter(isNumber);
  if (known.length === 0) return "";
  const [least, most] = [Math.min(...known), Math.max(...known)];
  return least === most ? ` of ${several(least, "token")}` : ` of ${count(least)}–${count(most)} tokens`;
}
