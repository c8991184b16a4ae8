#include "base/json_writer.h"
#include "checker/check/document.h"
#include "checker/compare/precision.h"

namespace pkv::check {
namespace {

// write(under(w, "total"), r.total): a member.
JsonWriter& under(JsonWriter& w, std::string_view key) {
  w.key(key);
  return w;
}

// -1 stands for what is not known.
void known(JsonWriter& w, std::string_view name, std::int64_t index) {
  w.key(name);
  index < 0 ? w.null() : w.value(index);
}

void filled(JsonWriter& w, std::string_view name, const std::string& text) {
  w.key(name);
  text.empty() ? w.null() : w.value(text);
}

void answer(JsonWriter& w, std::string_view name, Answer answer) {
  w.key(name);
  answer == Answer::unknown ? w.null() : w.value(answer == Answer::yes);
}

void write(JsonWriter& w, const Description& d) {
  w.object([&] {
    w.member("name", d.name);
    w.member("family", d.family);
    w.member("system", d.system);
    w.member("format", d.format);
    filled(w, "past_format", d.past_format);
    w.member("values_format", values_precision(d).name);
    w.member("logits_format", logits_precision(d).name);
    w.member("layers", d.layers);
    w.member("width", d.width);
    w.member("promises_same_bits", d.promises_same_bits);
  });
}

void write(JsonWriter& w, const Summary& s) {
  w.object([&] {
    for (std::size_t i = 0; i < Summary::names.size(); ++i) w.member(Summary::names[i], s.values()[i]);
  });
}

void write(JsonWriter& w, const Table& t) {
  w.object([&] {
    write(under(w, "without_past"), t.without_past);
    write(under(w, "with_past"), t.with_past);
    write(under(w, "absolute_difference"), t.absolute);
    write(under(w, "relative_difference"), t.relative);
  });
}

void write(JsonWriter& w, const std::optional<Place>& p) {
  if (!p) return w.null();
  w.object([&] {
    known(w, "past", p->past);
    w.member("position", p->position);
  });
}

void write(JsonWriter& w, const Difference& d) {
  w.object([&] {
    w.member("positions", d.positions);
    w.member("same_bits", d.same_bits);
    w.member("max_abs", d.max_abs);
    w.member("ulps", d.ulps);
    w.member("max_kl", d.max_kl);
    w.member("top_flips", d.top_flips);
    w.member("not_finite", d.not_finite);
    write(under(w, "worst"), d.worst);
    write(under(w, "first"), d.first);
    write(under(w, "first_not_finite"), d.first_not_finite);
  });
}

void write(JsonWriter& w, const Result& r) {
  w.object([&] {
    w.member("name", r.name);
    w.member("sentence", r.sentence);
    w.member("runs", r.runs);
    filled(w, "left_out", r.left_out);
    w.key("difference");
    r.left_out.empty() ? write(w, r.difference) : w.null();
  });
}

void write(JsonWriter& w, const Finding& f) {
  w.object([&] {
    answer(w, "shown", f.shown);
    w.member("sentence", f.sentence);
  });
}

void write(JsonWriter& w, const Influence& p) {
  w.object([&] {
    w.member("past", p.past);
    w.member("without_it", p.without_it);
    w.member("with_another", p.with_another);
  });
}

void write(JsonWriter& w, const Bound& b) {
  w.object([&] {
    w.member("value", b.value);
    w.member("largest_logit", b.largest_logit);
    w.member("layers", b.layers);
    w.member("width", b.width);
    w.member("assumed_size", b.assumed_size);
    w.member("values_format", b.values_format);
    w.member("reason", b.reason);
  });
}

void write(JsonWriter& w, const WideRuns& runs) {
  if (!runs.known()) return w.null();
  w.object([&] {
    w.member("format", runs.format);
    w.member("rows", runs.rows);
    w.member("every_row", runs.every_row);
    w.member("without_past", runs.without);
    w.member("with_past", runs.with);
    w.member("narrow_apart", runs.narrow_apart);
    w.member("apart", runs.apart);
    w.member("bound", runs.bound);
  });
}

void write(JsonWriter& w, const Explanation& e) {
  w.object([&] {
    w.member("cause", e.cause);
    w.member("statement", e.statement);
    w.member("confirmed", e.confirmed);
    w.member("evidence", e.evidence);
    w.member("rows", e.rows);
    w.member("same_rows", e.same_rows);
    w.member("explained", e.explained);
    w.member("look_at", e.look_at);
    filled(w, "reference", e.reference);
  });
}

void write(JsonWriter& w, const Verdict& v) {
  w.object([&] {
    w.member("outcome", name_of(v.outcome));
    w.member("holds", v.holds());
    w.member("sentence", v.sentence);
    w.member("reasons", v.reasons);
  });
}

void write(JsonWriter& w, const std::optional<Gain>& g) {
  if (!g) return w.null();
  w.object([&] {
    w.member("times_faster", g->times);
    w.member("error", g->error);
    w.member("new_tokens", g->new_tokens);
  });
}

void write(JsonWriter& w, const Cell& c) {
  w.object([&] {
    w.member("past", c.place.past);
    w.member("position", c.place.position);
    w.member("max_abs", c.max_abs);
    w.member("ulps", c.ulps);
  });
}

void write(JsonWriter& w, const Histogram& h) {
  w.object([&] {
    w.member("first", h.first);
    w.member("width", h.width);
    w.member("counts", h.counts);
  });
}

void write(JsonWriter& w, const LayerDistance& l) {
  w.object([&] {
    w.member("max_abs", l.max_abs);
    w.member("largest", l.largest);
  });
}

void write(JsonWriter& w, const std::optional<Parting>& p) {
  if (!p) return w.null();
  w.object([&] {
    w.member("past", p->past);
    w.member("position", p->position);
    known(w, "layer", p->layer);
    known(w, "head", p->head);
    w.member("embedded", p->embedded);
    w.member("sentence", p->sentence);
  });
}

void write(JsonWriter& w, const Causality& c) {
  w.object([&] {
    answer(w, "holds", c.holds);
    known(w, "first_layer", c.first_layer);
    w.member("moved", c.moved);
    w.member("sentence", c.sentence);
  });
}

template <class T>
void each(JsonWriter& w, std::string_view name, const std::vector<T>& values) {
  w.array(name, [&] {
    for (const T& value : values) write(w, value);
  });
}

void write(JsonWriter& w, const Evidence& e) {
  w.object([&] {
    write(under(w, "past_exists"), e.exists);
    write(under(w, "past_has_right_length"), e.length);
    write(under(w, "past_is_used"), e.used);
    write(under(w, "control"), e.control);
    write(under(w, "same_call_repeats"), e.repeats);
    write(under(w, "used_past_is_taken_again"), e.again);
    w.member("noise", e.noise);
    each(w, "probes", e.influences);
  });
}

void write_pictures(JsonWriter& w, const Report& r) {
  each(w, "layers", r.layers);
  w.member("positions_of_cell", r.positions_of_cell);
  each(w, "cells", r.cells);
  w.object("histograms", [&] {
    write(under(w, "without_past"), r.without_past);
    write(under(w, "with_past"), r.with_past);
    write(under(w, "absolute_difference"), r.distances);
  });
}

}  // namespace

void write_json(JsonWriter& w, const Report& r) {
  w.object([&] {
    w.member("schema", "pkv-check/2");
    w.member("model", r.subject.name);
    write(under(w, "verdict"), r.verdict);
    each(w, "causes", r.causes);
    w.member("causes_tried", r.causes_tried);
    w.object("explaining", [&] {
      w.member("feeds", r.explaining_feeds);
      w.member("tokens", r.explaining_tokens);
    });
    write(under(w, "subject"), r.subject);
    w.member("text", r.text);
    w.member("ids", r.ids);
    w.member("vocab", r.vocab);
    write(under(w, "table"), r.table);
    each(w, "experiments", r.results);
    write(under(w, "total"), r.total);
    write(under(w, "evidence"), r.evidence);
    write(under(w, "causality"), r.causality);
    write(under(w, "parting"), r.parting);
    write_pictures(w, r);
    write(under(w, "bound"), r.bound);
    write(under(w, "wide_runs"), r.wide);
    w.key("blind_spot");
    const std::optional<double> blind = blind_spot(r);
    blind ? w.value(*blind) : w.null();
    write(under(w, "gain"), r.gain);
    w.member("notes", r.notes);
    w.member("environment", r.environment);
    w.member("command", r.command);
  });
}

std::string report_json(const Report& report) {
  JsonWriter w;
  write_json(w, report);
  return std::move(w).text() + "\n";
}

std::string review_json(std::span<const Report> reports, std::span<const NotChecked> others) {
  JsonWriter w;
  w.object([&] {
    w.member("schema", "pkv-review/2");
    w.array("models", [&] {
      for (const Report& r : reports) write_json(w, r);
    });
    w.array("not_checked", [&] {
      for (const NotChecked& other : others) {
        w.object([&] {
          w.member("model", other.model);
          w.member("message", other.message);
        });
      }
    });
  });
  return std::move(w).text() + "\n";
}

}  // namespace pkv::check
