// What the program could say, in the shapes of docs/interface.md.

const POLICY_FILES = [
  { name: "acme.toml", policy: "acme", strategy: "coalescing", hash: "9f86d081884c7d65", loaded_at: "2026-01-05T03:01:12Z" },
  { name: "adaptive.toml", policy: "adaptive", strategy: "adaptive", hash: "2c26b46b68ffc68f", loaded_at: "2026-01-05T02:11:40Z" },
];

export const policyError = `acme.toml:4:1: unknown key \`max_batch_sise\`
  4 | max_batch_sise = 32
    | ^^^^^^^^^^^^^^
  did you mean \`max_batch_size\`? Allowed here: max_batch_size, max_batch_tokens, max_queue_delay, preferred_batch_sizes`;

/** A model before its first request. */
export const idleModel = () => ({
  state: "ready", strategy: "adaptive", device: "cpu", workers: 2, total_requests: 0, total_rows: 0, total_tokens: 0,
  padded_tokens: 0, padding_efficiency: null, success_rate: null, queue_depth: 0, queue_bytes: 0, current_batch_size: 0,
  avg_batch_size: null, throughput_rps: 0, latency_ms: { p50: null, p95: null, p99: null }, queue_ms: { p50: null, p95: null, p99: null },
  compute_ms: { p50: null, p95: null, p99: null }, batch_sizes: [1, 2, 4, 8, 16, 32, 64, null].map((le) => ({ le, count: 0 })),
  lengths: [8, 16, 32, 64, 128, 256, null].map((le) => ({ le, count: 0 })), outcomes: {},
  cost_model: { error_ratio: 0, coverage_ratio: null, observations: 0, devices: [] }, last_used: null,
});

/** A model at work. */
export const busyModel = () => ({
  ...idleModel(), total_requests: 184_220, total_rows: 201_377, total_tokens: 4_812_230, padded_tokens: 5_104_112, padding_efficiency: 0.943,
  success_rate: 0.9998, queue_depth: 14, queue_bytes: 22_118, oldest_wait_ms: 6.2, current_batch_size: 16, avg_batch_size: 11.4, throughput_rps: 412.6,
  latency_ms: { p50: 14.2, p95: 27.9, p99: 41.3 }, queue_ms: { p50: 4.1, p95: 12.2, p99: 20.4 }, compute_ms: { p50: 9.6, p95: 15.8, p99: 22.5 },
  batch_sizes: bars([900, 700, 1600, 4200, 7300, 2600, 240, 0], [1, 2, 4, 8, 16, 32, 64, null]),
  lengths: bars([22_000, 61_000, 74_000, 31_000, 10_200, 2_900, 0], [8, 16, 32, 64, 128, 256, null]),
  outcomes: { ok: 184_184, invalid_request: 36 },
  cost_model: { error_ratio: 0.061, coverage_ratio: 0.97, observations: 17_540, devices: [{ device: "cpu", coefficients_ms: { base: 1.1, per_token: 0.031, per_squared_token: 0.00002 }, points: points() }] },
  last_used: new Date().toISOString(),
});

const bars = (counts, upTo) => counts.map((count, index) => ({ le: upTo[index], count }));

function points() {
  const shapes = [1, 2, 4, 8, 16, 32].flatMap((rows) => [8, 16, 32, 64, 128].map((len) => [rows, len]));
  return shapes.map(([rows, len]) => {
    const predicted = 1.1 + 0.031 * rows * len ** 1.05;
    return { rows, len, predicted_ms: predicted, measured_ms: predicted * (1 + 0.12 * Math.sin(rows * 7 + len)) };
  });
}

/** `/stats` with these models. */
export const stats = (models = { minilm: idleModel() }, more = {}) => ({
  version: "0.1.0", uptime_seconds: 11_532.4, ready: true, draining: false,
  features: { dynamic_batching: true, performance_monitoring: true, health_checks: true },
  policy: { generation: 3, files: POLICY_FILES, overrides: [], last_error: null, last_error_at: null }, inflight_rows: 0, models,
  devices: [{ name: "cpu", workers: 2, ready: 2, running: 1, busy_ratio: 0.71 }], gpus: [], ...more,
});

/** `/stats/history` of ten busy minutes. */
export function history(names = ["minilm"], at = Date.now()) {
  const steps = Array.from({ length: 300 }, (_, index) => index);
  const wave = (index, seed) => Math.sin(index / 23 + seed) + 0.45 * Math.sin(index / 5.3 + seed * 2) + 0.25 * Math.sin(index * 1.7 + seed);
  const curve = (base, swing, seed) => steps.map((index) => Math.max(0, base + swing * wave(index, seed)));
  const model = (seed) => ({
    rps: curve(400, 60, seed), p50_ms: curve(14, 1.2, seed + 1), p95_ms: curve(27, 3.5, seed + 1.2), p99_ms: curve(39, 6, seed + 1.3),
    queue_depth: curve(9, 7, seed + 2).map(Math.round), batch_rows: curve(11, 3, seed), padding_efficiency: curve(0.93, 0.02, seed + 3),
  });
  return { step_seconds: 2, now: new Date(at).toISOString(), models: Object.fromEntries(names.map((name, index) => [name, model(index)])) };
}

/** A decision, with changes. */
export const decision = (more = {}) => ({
  batch: 17, at: "2026-01-05T03:12:04.120Z", model: "minilm", device: "cpu", worker: 0, policy: "bulk", strategy: "coalescing", generation: 3, rows: 12,
  lengths: [9, 10, 10, 11, 11, 12, 12, 12, 13, 14, 14, 14], padded_length: 14, tokens: 142, requests: ["r1", "r2"], tenants: ["acme"],
  predicted_ms: 21, compute_ms: 22, queue_ms: 4, reason: "full", outcome: "ok", ...more,
});

export const sentence = "12 rows of 9–14 tokens for acme under bulk (coalescing) left because the batch was full; predicted 21 ms, took 22 ms, waited 4 ms.";
