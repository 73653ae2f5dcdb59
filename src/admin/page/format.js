// Numbers and times as words. What is unknown is a dash.

const UNKNOWN = "–";
/** Keeps a number and its unit on one line. */
const GAP = "\u00a0";
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

/** A number with about three digits. */
function short(value) {
  if (!isNumber(value)) return UNKNOWN;
  const size = Math.abs(value);
  if (size >= 1e6) return `${trim(value / 1e6)}${GAP}M`;
  if (size >= 1e5) return `${trim(value / 1e3)}${GAP}k`;
  return size >= 100 ? whole.format(value) : trim(value);
}

function trim(value) {
  const size = Math.abs(value);
  return String(Number(value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : size >= 0.1 ? 2 : 3)));
}

const count = (value) => (isNumber(value) ? whole.format(value) : UNKNOWN);

/** "1 row", "12 rows". */
const several = (number, thing) => `${count(number)} ${thing}${number === 1 ? "" : "s"}`;

function milliseconds(value) {
  if (!isNumber(value)) return UNKNOWN;
  if (value >= 60000) return duration(value / 1000);
  if (value >= 1000) return `${trim(value / 1000)}${GAP}s`;
  return value >= 100 ? `${Math.round(value)}${GAP}ms` : `${trim(Number(value.toPrecision(2)))}${GAP}ms`;
}

function percent(ratio) {
  if (!isNumber(ratio)) return UNKNOWN;
  const value = ratio * 100;
  // 99.96 % is not all of it.
  if (value > 99 && value < 100) return `${Math.floor(value * 10) / 10}${GAP}%`;
  return `${value < 10 ? trim(Number(value.toPrecision(2))) : Math.round(value)}${GAP}%`;
}

function bytes(value) {
  if (!isNumber(value)) return UNKNOWN;
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit += 1) value /= 1024;
  return `${trim(value)}${GAP}${units[unit]}`;
}

/** Seconds as the two largest units: "3 d 4 h". */
function duration(seconds) {
  if (!isNumber(seconds)) return UNKNOWN;
  const left = Math.max(0, Math.round(seconds));
  const parts = [[Math.floor(left / 86400), "d"], [Math.floor(left / 3600) % 24, "h"], [Math.floor(left / 60) % 60, "min"], [left % 60, "s"]];
  const first = parts.findIndex(([number]) => number > 0);
  if (first < 0) return `0${GAP}s`;
  return parts.slice(first, first + 2).filter(([number]) => number > 0).map(([number, unit]) => `${number}${GAP}${unit}`).join(GAP);
}

/** A moment (text or number) as milliseconds since 1970, or null. */
function moment(value) {
  const time = typeof value === "number" ? value : Date.parse(value ?? "");
  return Number.isFinite(time) ? time : null;
}

/** "03:12:04", in UTC. */
function clock(value) {
  const time = moment(value);
  return time === null ? UNKNOWN : new Date(time).toISOString().slice(11, 19);
}

/** "03:12:04", or with its day where that is not today's. */
function clockOfDay(value, now) {
  const time = moment(value);
  if (time === null) return UNKNOWN;
  const day = (at) => new Date(at).toISOString().slice(0, 10);
  return day(time) === day(now) ? clock(time) : `${day(time)} ${clock(time)}`;
}

/** "12 s ago". */
function ago(value, now) {
  const time = moment(value);
  if (time === null) return UNKNOWN;
  return now - time < 2000 ? "just now" : `${duration((now - time) / 1000)} ago`;
}

/** "a, b and 3 more". */
function listed(names, most = 3) {
  if (names.length <= 1) return names.join("");
  const shown = names.length > most ? [...names.slice(0, most), `${names.length - most} more`] : names;
  return `${shown.slice(0, -1).join(", ")} and ${shown.at(-1)}`;
}
