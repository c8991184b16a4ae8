#include "base/json_writer.h"
#include "checker/measure/document.h"
#include "checker/measure/numbers.h"

namespace pkv::measure {
namespace {

// write(under(w, "faster"), faster): a member.
JsonWriter& under(JsonWriter& w, std::string_view key) {
  w.key(key);
  return w;
}

void write(JsonWriter& w, const Samples& samples) {
  if (samples.empty()) return w.null();
  const Spread s = spread_of(samples);
  w.object([&] {
    w.member("median", s.median);
    w.member("mean", s.mean);
    w.member("deviation", s.deviation);
    w.member("min", s.least);
    w.member("max", s.most);
    w.member("samples", samples);
  });
}

void write(JsonWriter& w, const Ratio& r) {
  w.object([&] {
    w.member("times", r.times);
    w.member("error", r.error);
  });
}

void write(JsonWriter& w, const Curve& curve) {
  w.array([&] {
    for (std::size_t i = 0; i < curve.positions.size(); ++i) {
      w.object([&] {
        w.member("token", curve.positions[i] + 1);
        write(under(w, "seconds"), curve.seconds[i]);
      });
    }
  });
}

void write_variant(JsonWriter& w, std::string_view name, const Samples& total, const Curve& curve,
                   std::int64_t new_tokens) {
  w.object(name, [&] {
    write(under(w, "total_seconds"), total);
    w.member("tokens_per_second", static_cast<double>(new_tokens) / median_of(total));
    write(under(w, "first_token_seconds"), curve.seconds.front());
    write(under(w, "per_token"), curve);
  });
}

void write(JsonWriter& w, const Generation& g) {
  w.object([&] {
    w.member("depth", g.depth);
    w.member("prompt_tokens", g.prompt);
    w.member("new_tokens", g.new_tokens);
    write(under(w, "faster"), g.faster());
    w.member("faster_2_from", g.passes(2));
    w.member("faster_10_from", g.passes(10));
    w.member("without_past_is_sampled", g.sampled());
    w.member("logits_hash", hash_text(g.hash));
    w.member("bytes_per_token", g.bytes_per_token);
    w.member("flop_per_token", g.flop_per_token);
    write(under(w, "share_of_read_rate"), g.read_share);
    write(under(w, "prompt_share_of_fma_rate"), g.fma_share);
    write_variant(w, "with_past", g.with_total, g.with_past, g.new_tokens);
    write_variant(w, "without_past", g.without_total, g.without_past, g.new_tokens);
  });
}

void write_way(JsonWriter& w, const Reuse& r, Reuse::Way way) {
  if (r.seconds[way].empty()) return w.null();
  w.object([&] {
    write(under(w, "first_token_seconds"), r.seconds[way]);
    if (way != Reuse::recomputed) write(under(w, "faster"), r.faster(way));
  });
}

void write(JsonWriter& w, const Reuse& r) {
  w.object([&] {
    w.member("prefix_tokens", r.prefix);
    w.member("saved_bytes", r.saved_bytes);
    w.member("save_seconds", r.save_seconds);
    w.member("logits_hash", hash_text(r.hash));
    write_way(under(w, "recomputed"), r, Reuse::recomputed);
    write_way(under(w, "memory"), r, Reuse::memory);
    write_way(under(w, "page_cache"), r, Reuse::page_cache);
    write_way(under(w, "disk"), r, Reuse::disk);
  });
}

void write(JsonWriter& w, const Disagreement& d) {
  w.object([&] {
    w.member("variant", d.variant);
    w.member("tokens", d.tokens);
  });
}

void write_subject(JsonWriter& w, const Result& r) {
  const session::Description& d = r.subject;
  w.object("subject", [&] {
    w.member("name", d.name);
    w.member("family", d.family);
    w.member("system", d.system);
    w.member("format", d.format);
    w.member("past_format", d.past_format);
    w.member("vocab", d.vocab);
    w.member("weight_bytes", r.weight_bytes);
    w.member("layers_fmas_per_token", r.layer_fmas);
    w.member("output_fmas", r.output_fmas);
  });
}

template <class T>
void each(JsonWriter& w, std::string_view name, const std::vector<T>& values) {
  w.array(name, [&] {
    for (const T& value : values) write(w, value);
  });
}

void write_machine(JsonWriter& w, const Result& r) {
  w.object("machine", [&] {
    write(under(w, "read_bytes_per_second"), r.read_rate);
    write(under(w, "fma_per_second"), r.fma_rate);
    w.member("disk_bytes_per_second", disk_rate(r.reuse));
    w.member("peak_memory_bytes", r.peak_memory);
  });
}

}  // namespace

std::string report_json(const Result& r) {
  JsonWriter w;
  w.object([&] {
    w.member("schema", "pkv-bench/1");
    w.member("model", r.subject.name);
    w.member("holds", r.holds());
    w.member("finding", headline(r));
    write_subject(w, r);
    w.member("repetitions", r.repetitions);
    w.member("warmup", r.warmup);
    each(w, "generation", r.generation);
    each(w, "reuse", r.reuse);
    w.object("reuse_worth_from", [&] {
      w.member("memory", worth_from(r.reuse, Reuse::memory));
      w.member("page_cache", worth_from(r.reuse, Reuse::page_cache));
      w.member("disk", worth_from(r.reuse, Reuse::disk));
    });
    write_machine(w, r);
    w.member("rows_compared", r.rows_compared);
    each(w, "disagreements", r.disagreements);
    w.member("notes", r.notes);
  });
  return std::move(w).text() + "\n";
}

}  // namespace pkv::measure
