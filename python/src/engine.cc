// The engine from Python.
#include "options/engine.h"

#include <fmt/format.h>
#include <nanobind/stl/function.h>

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "bind.h"
#include "engine/generate/defaults.h"
#include "engine/generate/generate.h"
#include "engine/model/model.h"
#include "engine/model/open_source.h"
#include "engine/model/past_file.h"
#include "files/hf/hf.h"
#include "models/load.h"
#include "subjects/engine.h"
#include "subjects/faults.h"
#include "text/text.h"

namespace pkv::python {
namespace {

constexpr std::int64_t kPiece = 512;  // tokens of a call, between which signals are looked at

// A model as it is used from Python: the checker's subject, whose model the rest uses.
struct Engine {
  std::shared_ptr<subjects::EngineSubject> subject;
  std::string folder, name;

  const model::Model& model() const { return subject->model(); }
};

struct Past {
  Past(std::shared_ptr<subjects::EngineSubject> subject, model::Past p) : of(std::move(subject)), past(std::move(p)) {}

  std::shared_ptr<subjects::EngineSubject> of;  // keeps the model alive
  model::Past past;
  std::atomic<std::thread::id> user = std::thread::id();  // the thread in a call that changes it; of none: nobody
};

// A call that uses a past, while no other thread's does. Within a call that changes it, as its `on_token` is, it may be
// read by the same thread, not changed.
class Use {
 public:
  enum class For : std::uint8_t { reading, changing };

  Use(const Past& past, For what) : Use(const_cast<Past&>(past), what, std::thread::id()) {}
  ~Use() {
    if (taken_) past_.user = std::thread::id();
  }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  Use(Past& past, For what, std::thread::id user) : past_(past) {
    taken_ = past.user.compare_exchange_strong(user, std::this_thread::get_id());
    if (taken_ || (user == std::this_thread::get_id() && what == For::reading)) return;
    fail_usage({.what = "another call is using this past",
                .hint = "wait until that call has returned, or give each thread a past.fork() of its own beforehand"});
  }

  Past& past_;
  bool taken_ = false;
};

std::shared_ptr<Engine> load(const std::string& folder, const std::string& dtype, const std::string& load_in,
                             const std::string& past_dtype, const std::string& run_as, const std::string& backend,
                             int threads) {
  nb::gil_scoped_release free;
  program::EngineOptions options;
  options.dtype = dtype, options.load_in = load_in, options.past_dtype = past_dtype, options.as = run_as;
  options.backend = backend, options.threads = threads;
  model::LoadOptions formats = options.load_options();
  std::unique_ptr<const model::Source> opened = model::open_source(folder);
  subjects::load_as(options.as, *opened, formats);
  const std::string name = hf::display_name(folder);
  return std::make_shared<Engine>(
      Engine{std::make_shared<subjects::EngineSubject>(model::load(std::move(opened), options.open(), formats), name,
                                                       subjects::EngineOptions{.as = run_as}),
             folder, name});
}

void require_own(const Engine& engine, const Past& past) {
  if (past.of == engine.subject) return;
  fail_usage({.what = "this past is another model's",
              .where = engine.name,
              .hint = "a past of model.new_past(), or one that model.restore() has read"});
}

std::shared_ptr<Past> new_past(const Engine& e) { return std::make_shared<Past>(e.subject, e.model().new_past()); }

nb::object logits(const Engine& e, const Ids& ids, Past* past, bool last) {
  std::vector<float> values;
  std::int64_t rows = 0;
  const std::int64_t vocab = e.model().card().vocab;
  {
    nb::gil_scoped_release free;
    std::optional<Use> use;
    if (past != nullptr) require_own(e, *past), use.emplace(*past, Use::For::changing);
    model::Past own = e.model().new_past();
    model::Past& used = past != nullptr ? past->past : own;
    const std::int64_t before = used.length();
    // Of a model that attends both ways a piece is what sees itself: it is not cut.
    const std::int64_t piece = e.model().card().causal ? kPiece : std::max<std::int64_t>(std::ssize(ids), 1);
    try {
      for (std::int64_t at = 0; at == 0 || at < std::ssize(ids); at += piece) {
        const std::span<const std::int32_t> part =
            std::span(ids).subspan(at, std::min<std::int64_t>(piece, std::ssize(ids) - at));
        const model::Feed feed{.ids = part, .past = &used};
        const bool end = at + piece >= std::ssize(ids);
        const model::Logits got = e.model().forward({&feed, 1}, last ? model::Want::last : model::Want::all);
        if (!last || end) {
          const auto some = got.span<float>();
          values.insert(values.end(), some.begin(), some.end());
        }
        look_at_signals();
      }
    } catch (...) {
      used.truncate(before);
      throw;
    }
    rows = std::ssize(values) / vocab;
  }
  return array(std::move(values), rows, vocab);
}

using OnToken = std::function<bool(std::int32_t)>;

// New ids, and why it ended. `on_token` is told each one and may say that it is enough.
std::pair<Ids, std::string> generate(const Engine& e, const Ids& ids, Past* past, std::int64_t max_new_tokens,
                                     const nb::dict& sampling, const std::optional<OnToken>& on_token) {
  generate::Options options;
  const auto set = [&](const char* name, auto& to) {
    if (sampling.contains(name)) to = nb::cast<std::decay_t<decltype(to)>>(sampling[name]);
  };
  options.eos_token_id = generate::defaults_of(e.model(), {.settings = false}).options.eos_token_id;
  set("do_sample", options.sampling.do_sample), set("temperature", options.sampling.temperature);
  set("top_k", options.sampling.top_k), set("top_p", options.sampling.top_p), set("min_p", options.sampling.min_p);
  set("repetition_penalty", options.sampling.repetition_penalty), set("seed", options.sampling.seed);
  set("use_past", options.use_past), set("eos_token_id", options.eos_token_id);
  options.max_new_tokens = max_new_tokens;
  nb::gil_scoped_release free;
  std::optional<Use> use;
  if (past != nullptr) require_own(e, *past), use.emplace(*past, Use::For::changing);
  const generate::Events events{.token =
                                    [&](const generate::Token& t) {
                                      nb::gil_scoped_acquire lock;
                                      if (PyErr_CheckSignals() != 0) throw nb::python_error();
                                      return !on_token || (*on_token)(t.id);
                                    },
                                .prompt = stoppable()};
  const generate::Result r = past != nullptr ? generate::run(e.model(), past->past, ids, options, events)
                                             : generate::run(e.model(), ids, options, events);
  return {r.sequences.front().ids, std::string(generate::name_of(r.sequences.front().finish))};
}

}  // namespace

std::shared_ptr<session::Subject> subject_of(nb::object subject) {
  if (nb::hasattr(subject, "_engine")) subject = nb::getattr(subject, "_engine");
  std::shared_ptr<Engine> engine;
  if (nb::try_cast(subject, engine)) return engine->subject;
  return living(std::move(subject));
}

void bind_engine(nb::module_& m) {
  const auto free = nb::call_guard<nb::gil_scoped_release>();
  nb::class_<Past>(m, "Past", "The past of one text. Of Model.new_past(), fork() or Model.restore().")
      .def("__len__", [](const Past& p) { return Use(p, Use::For::reading), p.past.length(); })
      .def_prop_ro("ids",
                   [](const Past& p) {
                     const Use use(p, Use::For::reading);
                     return Ids(p.past.ids().begin(), p.past.ids().end());
                   })
      .def_prop_ro(
          "bytes", [](const Past& p) { return Use(p, Use::For::reading), p.past.bytes(); }, "Of memory that it holds.")
      .def(
          "fork",
          [](Past& p) {
            const Use use(p, Use::For::reading);
            return std::make_shared<Past>(p.of, p.past.fork());
          },
          "Another past with the same content; costs next to nothing.")
      .def(
          "rewind",
          [](Past& p, std::int64_t length) {
            const Use use(p, Use::For::changing);
            p.past.truncate(length);
          },
          nb::arg("length"), "Forgets all but the first `length` tokens.");
  nb::class_<Engine>(m, "Engine", "A model that pkv itself runs. pkv.Model wraps it.")
      .def(nb::new_(&load), nb::arg("folder"), nb::arg("dtype") = "", nb::arg("load_in") = "",
           nb::arg("past_dtype") = "", nb::arg("run_as") = "", nb::arg("backend") = "cpu", nb::arg("threads") = 0)
      .def_ro("name", &Engine::name)
      .def_ro("folder", &Engine::folder)
      .def_prop_ro("vocab", [](const Engine& e) { return e.model().card().vocab; })
      .def_prop_ro("context", [](const Engine& e) { return e.model().card().context; })
      .def_prop_ro("layers", [](const Engine& e) { return e.model().card().layers; })
      .def_prop_ro("family", [](const Engine& e) { return e.model().card().family; })
      .def_prop_ro("causal", [](const Engine& e) { return e.model().card().causal; })
      .def_prop_ro("format", [](const Engine& e) { return std::string(e.model().weights().format()); })
      .def_prop_ro("system", [](const Engine& e) { return subjects::system_of(e.model()); })
      .def_prop_ro("notes",
                   [](const Engine& e) {
                     const auto all = e.model().notes();
                     return std::vector<std::string>(all.begin(), all.end());
                   })
      .def("new_past", &new_past)
      .def("logits", &logits, nb::arg("ids"), nb::arg("past").none() = nb::none(), nb::arg("last") = false)
      .def("generate", &generate, nb::arg("ids"), nb::arg("past").none() = nb::none(), nb::arg("max_new_tokens") = 20,
           nb::arg("sampling") = nb::dict(), nb::arg("on_token").none() = nb::none())
      .def(
          "save",
          [](const Engine& e, const std::string& path, const Past& past) {
            require_own(e, past);
            const Use use(past, Use::For::changing);
            model::save_past(path, e.model(), past.past, {.progress = stoppable()});
          },
          nb::arg("path"), nb::arg("past"), free)
      .def(
          "restore",
          [](const Engine& e, const std::string& path, const Ids& ids) {
            return std::make_shared<Past>(e.subject,
                                          model::restore_past(path, e.model(), ids, {.progress = stoppable()}).past);
          },
          nb::arg("path"), nb::arg("ids"), free);
  nb::class_<text::Tokenizer>(m, "Tokenizer", "Text to ids and back, as transformers' AutoTokenizer does it.")
      .def(nb::new_([](const std::string& folder) { return text::Tokenizer::load(folder); }), nb::arg("folder"))
      .def(
          "encode", [](const text::Tokenizer& t, const std::string& s, bool special) { return t.encode(s, special); },
          nb::arg("text"), nb::arg("add_special_tokens") = true, free)
      .def(
          "decode", [](const text::Tokenizer& t, const Ids& ids, bool skip) { return t.decode(ids, skip); },
          nb::arg("ids"), nb::arg("skip_special_tokens") = false, free)
      .def(
          "token", [](const text::Tokenizer& t, std::int32_t id) { return t.token(id); }, nb::arg("id"))
      .def_prop_ro("vocab_size", [](const text::Tokenizer& t) { return t.vocab_size(); });
  nb::class_<text::Tokenizer::Stream>(m, "TextStream", "Decodes ids as they come; no piece ends inside a character.")
      .def(nb::init<const text::Tokenizer&, bool>(), nb::arg("tokenizer"), nb::arg("skip_special_tokens") = false)
      .def(
          "push", [](text::Tokenizer::Stream& s, std::int32_t id) { return s.push(id); }, nb::arg("id"))
      .def("finish", [](text::Tokenizer::Stream& s) { return s.finish(); });
}

}  // namespace pkv::python
