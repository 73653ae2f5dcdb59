// Switches strategies: never without a question that says what will happen and until when.

const STRATEGIES = {
  adaptive: "Learns what a batch costs; waits for company only where several workers are under pressure. The default.",
  coalescing: "Waits a little (5 ms unless the file says otherwise) to gather rows of like length.",
  latency_optimized: "Small batches of the most urgent rows, at once. Saturates at a lower rate.",
  throughput_optimized: "Waits (20 ms unless the file says otherwise) to fill large batches. Costs latency; for work nobody waits for.",
  fixed_size: "Arrival order, exactly N rows or when the delay is over. Costs padding.",
  custom: "The script of each policy scores what could run next, or waits. Only for policies that name one in [custom].",
};
const EVERY_MODEL = "*";

/** Fills the form once, and keeps its models as they are served. */
function showSwitch() {
  const names = Object.keys(world.stats?.models ?? {});
  const model = byId("switch-model");
  const options = [node("option", { value: EVERY_MODEL }, "every model"), ...names.map((name) => node("option", { value: name }, name))];
  if (![...model.options].every((option, index) => option.value === options[index]?.value) || model.options.length !== options.length) {
    const chosen = model.value;
    model.replaceChildren(...options);
    model.value = names.includes(chosen) ? chosen : EVERY_MODEL;
  }
  byId("switch-open").disabled = world.unreachable !== null || world.stats === null;
}

/** Makes the form ask; `changed` is called after the program took a change. */
function prepareSwitch(changed) {
  const strategy = byId("switch-strategy");
  strategy.append(...Object.keys(STRATEGIES).map((name) => node("option", { value: name }, name)));
  const explain = () => say(byId("switch-about"), STRATEGIES[strategy.value]);
  strategy.addEventListener("change", explain);
  explain();
  byId("switch-open").addEventListener("click", () => askToSwitch(byId("switch-model").value, strategy.value, changed));
  byId("overrides").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) askToRemove(button.dataset.model, changed);
  });
  byId("dialog-cancel").addEventListener("click", () => byId("dialog").close());
}

const whom = (model) => (model === EVERY_MODEL ? "every model" : model);

/** The models that have an override. */
const overridden = () => list(world.stats?.policy?.overrides).map((override) => override?.model);

function askToSwitch(model, strategy, changed) {
  const ended = model === EVERY_MODEL ? overridden().filter((each) => each !== EVERY_MODEL) : [];
  const which = model === EVERY_MODEL ? "all requests are batched this way, whichever policy applies to them" : `all requests for ${model} are batched this way, under every policy that applies to ${model}`;
  ask({
    title: `Switch ${whom(model)} to ${strategy}?`,
    text: [
      STRATEGIES[strategy],
      `From the next batch on, ${which}. What a policy's file sets itself stays; all else takes this strategy's defaults. Waiting requests stay in the queue and running batches end as they began; none is lost.`,
      ended.length > 0 ? `It takes the place of the override of ${listed(ended, 6)}.` : null,
      "It holds for each policy until the policy's file changes, and at the longest until the override is removed or the program restarts.",
    ],
    confirm: `Switch to ${strategy}`,
    done: `${whom(model)} now runs ${strategy}.`,
    act: () => read("strategy", { method: "PUT", headers: { "content-type": "application/json" }, body: JSON.stringify({ model, strategy }) }),
    changed,
  });
}

function askToRemove(model, changed) {
  // Without a model the program ends them all.
  const gone = model === EVERY_MODEL ? overridden().map(whom) : [model];
  const then = model !== EVERY_MODEL && overridden().includes(EVERY_MODEL) ? "the override of every model holds here too" : "the policies decide again";
  ask({
    title: `Remove the override of ${listed(gone, 6)}?`,
    text: [`From the next batch on, ${then}. Waiting requests stay in the queue; none is lost.`],
    confirm: gone.length > 1 ? "Remove these overrides" : "Remove the override",
    done: `The override of ${listed(gone, 6)} is removed.`,
    act: () => read(model === EVERY_MODEL ? "strategy" : `strategy?model=${encodeURIComponent(model)}`, { method: "DELETE" }),
    changed,
  });
}

/** Opens the dialog; acts once, on its confirmation alone. */
function ask({ title, text, confirm, done, act, changed }) {
  const dialog = byId("dialog");
  const button = byId("dialog-confirm");
  say(byId("dialog-title"), title);
  put(byId("dialog-text"), text.filter(Boolean).map((each) => node("p", null, each)));
  say(byId("dialog-error"), "");
  say(button, confirm);
  button.disabled = false;
  button.onclick = async () => {
    button.disabled = true;
    try {
      await act();
      dialog.close();
      // The button that asked may go with its override.
      byId("switch-open").focus();
      announce(done);
      changed();
    } catch (error) {
      say(byId("dialog-error"), `Not done: ${reasonOf(error)}`);
      button.disabled = false;
      button.focus();
    }
  };
  dialog.showModal();
}
