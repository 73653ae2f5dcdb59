// Puts the parts together: one drawing a second, and the choice of a model.

/** The model that is shown: the one chosen in the address, else the first. */
function chosen() {
  const names = Object.keys(world.stats?.models ?? {});
  return names.find((name) => `#${encodeURIComponent(name)}` === location.hash) ?? names[0];
}

function show() {
  const names = Object.keys(world.stats?.models ?? {});
  const name = chosen();
  showProgram();
  showState();
  showModels(names, name);
  showModel(name);
  showDecisions(name, names.length > 1);
  showPolicies();
  showDevices();
  showSwitch();
}

byId("model-rows").addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button) location.hash = encodeURIComponent(button.dataset.model);
});
addEventListener("resize", show);
const askAgain = poll(show, chosen);
addEventListener("hashchange", () => {
  show();
  askAgain();
});
prepareSwitch(askAgain);
show();
