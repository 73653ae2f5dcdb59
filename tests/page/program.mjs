// The real program (INFERNEO_BINARY) with a policy folder of its own, and traffic for it.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { until } from "./browser.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** Starts the program for `models` (`{name: folder}`), waits until it is ready. */
export async function start(models, policies) {
  const folder = mkdtempSync(join(tmpdir(), "inferneo-page-"));
  const policy = (name, text) => writeFileSync(join(folder, name), text);
  for (const [name, text] of Object.entries(policies)) policy(name, text);
  const ready = join(folder, "ready.json");
  const flags = Object.entries(models).flatMap(([name, path]) => ["--model", `${name}=${path}`]);
  const args = ["serve", ...flags, "--state", "none", "--policies", folder, "--ready-file", ready, "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
  const clean = Object.entries(process.env).filter(([name]) => !name.startsWith("INFERNEO_"));
  const env = { ...Object.fromEntries(clean), INFERNEO_ONNXRUNTIME_LIBRARY: join(root, ".cache/onnxruntime/libonnxruntime.so") };
  const child = spawn(process.env.INFERNEO_BINARY, args, { cwd: root, env, stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  child.stderr.on("data", (chunk) => (log += chunk));
  const ended = new Promise((resolve) => child.once("exit", resolve));
  await until(() => child.exitCode !== null || existsSync(ready), "the program is ready");
  if (child.exitCode !== null) throw new Error(`the program ended:\n${log}`);
  const { listen, admin_listen } = JSON.parse(readFileSync(ready, "utf8"));
  const stop = async () => {
    child.kill("SIGTERM");
    await ended;
    rmSync(folder, { recursive: true });
  };
  return { data: `http://${listen}`, admin: `http://${admin_listen}/`, policy, stop };
}

/** Sends one request for embeddings of `texts`. */
export async function embed(program, model, texts, tenant) {
  const response = await fetch(`${program.data}/v1/embeddings`, {
    method: "POST",
    headers: { "content-type": "application/json", ...(tenant ? { "x-inferneo-tenant": tenant } : {}) },
    body: JSON.stringify({ model, input: texts }),
  });
  if (!response.ok) throw new Error(`${response.status}: ${await response.text()}`);
  await response.arrayBuffer();
}
