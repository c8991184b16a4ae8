// A system in Python, fed by the checker. The checker runs without the interpreter's lock; each call here takes it.
#include <fmt/format.h>

#include "bind.h"
#include "checker/causes/cause.h"

namespace pkv::python {
namespace {

using IdsSpan = std::span<const std::int32_t>;

bool has(const nb::object& o, const char* name) { return nb::hasattr(o, name) && !nb::getattr(o, name).is_none(); }

nb::list list_of(IdsSpan ids) {
  nb::list all;
  for (const std::int32_t id : ids) all.append(id);
  return all;
}

// Runs `work` with the lock; what is raised in it becomes an Error where it is pkv.Error.
template <class Work>
auto locked(Work&& work) {
  nb::gil_scoped_acquire lock;
  try {
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    return work();
  } catch (const nb::python_error& raised) {
    throw_as_error(raised);
  }
}

class LivingSession : public session::Session, session::Rewind, session::Fork, session::Look {
 public:
  explicit LivingSession(nb::object session)
      : rewinds_(has(session, "rewind")),
        forks_(has(session, "fork")),
        looks_(has(session, "look")),
        says_length_(has(session, "length")),
        feeds_last_(has(session, "feed_last")),
        session_(std::move(session)) {}

  session::Logits feed(IdsSpan ids) override {
    return locked([&] { return rows_of(session_.get().attr("feed")(list_of(ids))); });
  }

  session::Logits feed_last(IdsSpan ids) override {
    if (!feeds_last_) return session::Session::feed_last(ids);
    return locked([&] { return rows_of(session_.get().attr("feed_last")(list_of(ids))); });
  }

  void skip(IdsSpan ids) override {
    locked([&] {
      const nb::object& s = session_.get();
      has(s, "skip") ? s.attr("skip")(list_of(ids)) : s.attr("feed")(list_of(ids));
    });
  }

  std::optional<std::int64_t> length() const override {
    if (!says_length_) return std::nullopt;
    return locked([&] {
      const nb::object said = session_.get().attr("length")();
      return said.is_none() ? std::nullopt : std::optional(nb::cast<std::int64_t>(said));
    });
  }

  session::Rewind* rewind() override { return rewinds_ ? this : nullptr; }
  session::Fork* fork() override { return forks_ ? this : nullptr; }
  session::Look* look() override { return looks_ ? this : nullptr; }

  void truncate(std::int64_t length) override {
    locked([&] { session_.get().attr("rewind")(length); });
  }

  std::unique_ptr<session::Session> fork_session() override {
    return locked([&] {
      return std::unique_ptr<session::Session>(std::make_unique<LivingSession>(session_.get().attr("fork")()));
    });
  }

  session::Logits feed_and_look(IdsSpan ids, session::States& states) override {
    return locked([&] {
      const nb::object both = session_.get().attr("look")(list_of(ids));
      states = {};
      for (const nb::handle layer : both[1]) {
        const session::Logits rows = rows_of(layer);
        states.width = rows.vocab;
        states.layers.push_back(rows.values);
      }
      return rows_of(both[0]);
    });
  }

  const nb::object& object() const { return session_.get(); }

 private:
  bool rewinds_, forks_, looks_, says_length_, feeds_last_;
  Held session_;
};

class LivingSubject : public session::Subject, session::Counterfactual {
 public:
  explicit LivingSubject(nb::object subject)
      : supposes_(has(subject, "suppose")),
        feeds_together_(has(subject, "feed_together")),
        subject_(std::move(subject)) {}

  session::Description describe() const override {
    return locked([&] {
      session::Description d;
      const nb::object given = subject_.get().attr("describe")();
      const auto set = [&](const char* name, auto& to) {
        const nb::object value = given.attr("get")(name);
        if (!value.is_none()) to = nb::cast<std::decay_t<decltype(to)>>(value);
      };
      set("name", d.name), set("family", d.family), set("system", d.system), set("format", d.format);
      set("past_format", d.past_format), set("values_format", d.values_format), set("logits_format", d.logits_format);
      set("layers", d.layers), set("width", d.width), set("vocab", d.vocab), set("longest", d.longest);
      set("longest_is", d.longest_is), set("breaks_law", d.breaks_law), set("no_past", d.no_past);
      set("promises_same_bits", d.promises_same_bits);
      return d;
    });
  }

  std::unique_ptr<session::Session> fresh() override {
    return locked([&] {
      return std::unique_ptr<session::Session>(std::make_unique<LivingSession>(subject_.get().attr("fresh")()));
    });
  }

  std::vector<session::Logits> feed(std::span<const session::Feed> feeds) override {
    if (!feeds_together_) return session::Subject::feed(feeds);
    return locked([&] {
      nb::list given;
      for (const auto& [session, ids] : feeds) {
        given.append(nb::make_tuple(dynamic_cast<LivingSession&>(session).object(), list_of(ids)));
      }
      std::vector<session::Logits> all;
      for (const nb::handle rows : subject_.get().attr("feed_together")(given)) all.push_back(rows_of(rows));
      return all;
    });
  }

  session::Counterfactual* counterfactual() override { return supposes_ ? this : nullptr; }

  std::optional<session::Logits> suppose(std::span<const session::Supposition> what, IdsSpan ids,
                                         std::int64_t past) override {
    return locked([&]() -> std::optional<session::Logits> {
      nb::list causes;
      for (const session::Supposition& s : what) {
        causes.append(nb::make_tuple(std::string(check::cause_of(s.cause).name), s.count));
      }
      const nb::object rows = subject_.get().attr("suppose")(causes, list_of(ids), past);
      if (rows.is_none()) return std::nullopt;
      return rows_of(rows);
    });
  }

 private:
  bool supposes_, feeds_together_;
  Held subject_;
};

}  // namespace

std::unique_ptr<session::Subject> living(nb::object subject) {
  for (const char* name : {"describe", "fresh"}) {
    if (has(subject, name)) continue;
    fail_usage({.what = "this can't be fed",
                .expected = "a transformers model, a pkv.Model, or an object with describe() and fresh()",
                .found = nb::cast<std::string>(nb::str(subject.type())),
                .hint = "pkv.Feedable makes one of a function"});
  }
  return std::make_unique<LivingSubject>(std::move(subject));
}

}  // namespace pkv::python
