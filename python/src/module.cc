// The extension pkv._pkv: the checker, the measurements and the engine. pkv/__init__.py is its door for users.
#include "bind.h"
#include "engine/kernels/cpu/instruction_set.h"
#include "models/find.h"
#include "version.h"

namespace pkv::python {
namespace {

nb::object& error_class() {
  static auto* kept = new nb::object();  // never destroyed: the interpreter may be gone by then
  return *kept;
}

const char* word_of(Error::Kind kind) {
  switch (kind) {
    case Error::Kind::usage:
      return "usage";
    case Error::Kind::load:
      return "load";
    case Error::Kind::internal:
      break;
  }
  return "internal";
}

Error::Kind kind_of(const std::string& word) {
  if (word == "usage") return Error::Kind::usage;
  return word == "load" ? Error::Kind::load : Error::Kind::internal;
}

void translate(const std::exception_ptr& thrown, void*) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& e) {
    const Error::Text& t = e.text();
    const nb::object made = error_class()(t.what, t.where, t.expected, t.found, t.hint, word_of(e.kind()));
    PyErr_SetObject(error_class().ptr(), made.ptr());
  }
}

}  // namespace

void set_error_class(nb::object given) { error_class() = std::move(given); }

void throw_as_error(const nb::python_error& raised) {
  nb::gil_scoped_acquire lock;
  if (!raised.matches(error_class())) throw raised;
  const nb::handle value = raised.value();
  const auto part = [&](const char* name) { return nb::cast<std::string>(value.attr(name)); };
  throw Error(kind_of(part("kind")), {part("what"), part("where"), part("expected"), part("found"), part("hint")});
}

void look_at_signals() {
  nb::gil_scoped_acquire lock;
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
}

Progress stoppable() {
  return [](std::int64_t, std::int64_t) { look_at_signals(); };
}

show::Environment here() { return show::environment("pkv " PKV_VERSION ", Python"); }

}  // namespace pkv::python

NB_MODULE(_pkv, m) {
  using namespace pkv;
  using namespace pkv::python;
  nb::set_leak_warnings(false);
  nb::register_exception_translator(translate);
  m.def("set_error_class", &set_error_class, nb::arg("error"));
  m.def("version", [] { return std::string(PKV_VERSION); });
  m.def(
      "commit", [] { return std::string(program::commit()); }, "The commit of the sources; empty where nobody knows.");
  m.def(
      "instruction_set", [] { return kernels::cpu::instruction_set(); },
      "The instruction set in use: SSE4, AVX2, AVX3.");
  m.def(
      "find_model", [](const std::string& name) { return program::find_model(name).string(); }, nb::arg("name"),
      nb::call_guard<nb::gil_scoped_release>(),
      "The folder of a path or a name on the Hub, downloaded where it must be.");
  bind_engine(m);
  bind_report(m);
  bind_measure(m);
}
