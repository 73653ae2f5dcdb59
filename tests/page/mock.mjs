// Stands in for the program: the page's real parts, and whatever JSON a test gives it.

import { readFileSync } from "node:fs";
import { createServer } from "node:http";

const parts = new URL("../../src/admin/page/", import.meta.url);
const part = (name) => readFileSync(new URL(name, parts), "utf8");
const NONCE = "a-nonce";
const POLICY = `default-src 'none'; script-src 'nonce-${NONCE}'; style-src 'nonce-${NONCE}'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`;

const document = () => part("page.html").replace(/\{\{([a-z]+\.[a-z]+)\}\}/g, (_, name) => part(name)).replaceAll("{{nonce}}", NONCE);

/** Serves `answers` (`stats`, `decisions`, `history`, and `strategy`, a function of the request); a test may change them. */
export async function mock(answers) {
  const asked = [];
  const server = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      asked.push({ method: request.method, url: request.url, body });
      reply(answers, { method: request.method, url: request.url, body }, response);
    });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  const close = () => new Promise((resolve) => {
    server.close(resolve);
    server.closeAllConnections();
  });
  const reopen = () => new Promise((resolve) => server.listen(port, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${port}/`, answers, asked, close, reopen };
}

function reply(answers, request, response) {
  const { pathname, searchParams } = new URL(request.url, "http://mock");
  const json = (value, status = 200) => {
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(value));
  };
  if (pathname === "/") {
    response.writeHead(200, { "content-type": "text/html; charset=utf-8", "content-security-policy": POLICY });
    return response.end(document());
  }
  if (pathname === "/strategy") {
    const [status, value] = answers.strategy(request);
    return json(value, status);
  }
  const model = searchParams.get("model");
  if (model !== null && answers.stats?.models?.[model] === undefined) return json({ error: `no model \`${model}\``, reason: "unknown_model" }, 404);
  const decisions = model === null ? answers.decisions : answers.decisions.filter((decision) => (decision.model ?? model) === model);
  const value = { "/stats": answers.stats, "/decisions": decisions.slice(-Number(searchParams.get("n") ?? 100)), "/stats/history": answers.history }[pathname];
  return value === undefined ? json({ error: "not found", reason: "not_found" }, 404) : json(value);
}
