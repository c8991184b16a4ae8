// Vega comes as modules that ask for `define`. This gives them one; the build joins them behind it, each after a line that
// says its name.
const modules = {};
let naming = "";
function define(needed, make) {
  const exported = {};
  make(...needed.map((name) => (name === "exports" ? exported : modules[name])));
  modules[naming] = exported;
}
define.amd = {};
