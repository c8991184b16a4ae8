#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "base/checksum.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/softmax.h"
#include "engine/generate/generate.h"

namespace pkv::generate {
namespace {

using Ids = std::vector<std::int32_t>;

// A text that grows, and the past that follows it, if one does: the caller's, or its own.
struct Growing {
  Ids text;
  model::Past* past = nullptr;
  std::unique_ptr<model::Past> own;
  Sequence result;
  std::vector<std::uint64_t> hashes;  // of the logits that each id was chosen from
  bool ended = false;
};

class Loop {
 public:
  Loop(const model::Model& model, std::span<const std::int32_t> prompt, const Options& options, const Events& events)
      : model_(model), prompt_(prompt), options_(options), events_(events), sampler_(options.sampling) {}

  Result with_past(model::Past& past);
  Result without_past();

 private:
  double elapsed() const { return seconds() - start_; }
  bool interrupted() const { return events_.interrupted != nullptr && events_.interrupted->load(); }

  std::optional<model::Logits> read(model::Past& past, std::span<const std::int32_t> text, const Progress& progress);
  void begin();
  void grow(Growing& growing, std::span<const float> logits);
  std::vector<Growing*> unfinished();
  void step_all();
  Result finish();

  const model::Model& model_;
  std::span<const std::int32_t> prompt_;
  const Options& options_;
  const Events& events_;
  Sampler sampler_;
  double start_ = seconds();
  std::vector<Growing> growing_;
  Result result_;
};

// Feeds what the past lacks of `text`. Nothing when interrupted on the way.
std::optional<model::Logits> Loop::read(model::Past& past, std::span<const std::int32_t> text,
                                        const Progress& progress) {
  const auto rest = text.subspan(static_cast<std::size_t>(past.length()));
  return model::feed_in_pieces(
      model_, past, rest, {.piece = options_.chunk, .progress = progress, .go_on = [this] { return !interrupted(); }});
}

void Loop::begin() {
  growing_.resize(static_cast<std::size_t>(options_.num_sequences));
  for (std::size_t i = 0; i < growing_.size(); ++i) {
    growing_[i].text.assign(prompt_.begin(), prompt_.end());
    growing_[i].result.seed = options_.sampling.seed + i;
  }
}

// Chooses the token after `logits`, and asks the caller whether to go on.
void Loop::grow(Growing& g, std::span<const float> logits) {
  const std::int32_t id = sampler_.choose(logits, g.text, g.result.seed);
  Sequence& r = g.result;
  g.text.push_back(id);
  r.ids.push_back(id);
  r.seconds.push_back(elapsed());
  if (options_.logits_hash) g.hashes.push_back(checksum(std::as_bytes(logits)));
  if (options_.log_probabilities)
    r.log_probabilities.push_back(LogSoftmax(logits).of(logits[static_cast<std::size_t>(id)]));
  const auto& eos = options_.eos_token_id;
  const bool is_eos = std::find(eos.begin(), eos.end(), id) != eos.end();
  g.ended = is_eos || static_cast<std::int64_t>(r.ids.size()) == options_.max_new_tokens;
  r.finish = is_eos ? Finish::eos : Finish::length;
  if (!events_.token) return;
  const Token token{.sequence = &g - growing_.data(),
                    .index = static_cast<std::int64_t>(r.ids.size()) - 1,
                    .id = id,
                    .last = g.ended,
                    .log_probability = options_.log_probabilities ? r.log_probabilities.back() : 0,
                    .seconds = r.seconds.back(),
                    .logits = logits};
  if (events_.token(token) || is_eos) return;
  g.ended = true;
  r.finish = Finish::stop;
}

std::vector<Growing*> Loop::unfinished() {
  std::vector<Growing*> found;
  for (Growing& g : growing_) {
    if (!g.ended) found.push_back(&g);
  }
  return found;
}

// One token for each sequence that goes on, until none does.
void Loop::step_all() {
  for (auto active = unfinished(); !active.empty() && !interrupted(); active = unfinished()) {
    std::vector<model::Feed> feeds;
    for (Growing* g : active) {
      feeds.push_back(
          {.ids = std::span(g->text).subspan(static_cast<std::size_t>(g->past->length())), .past = g->past});
    }
    const model::Logits logits = model_.forward(feeds, model::Want::last);
    const auto vocab = static_cast<std::size_t>(logits.view()[1]);
    for (std::size_t i = 0; i < active.size(); ++i) {
      grow(*active[i], logits.span<float>().subspan(i * vocab, vocab));
    }
  }
}

Result Loop::finish() {
  result_.prompt_tokens = static_cast<std::int64_t>(prompt_.size());
  for (Growing& g : growing_) {
    if (!g.ended) g.result.finish = Finish::interrupted;
    result_.interrupted = result_.interrupted || !g.ended;
    if (options_.logits_hash) g.result.logits_hash = checksum_of_rows(g.hashes);
    result_.sequences.push_back(std::move(g.result));
  }
  result_.seconds = elapsed();
  return std::move(result_);
}

Result Loop::with_past(model::Past& past) {
  result_.reused = keep_shared(past, prompt_);
  const auto logits = read(past, prompt_, events_.prompt);
  result_.prompt_seconds = elapsed();
  begin();
  for (Growing& g : growing_) {
    if (&g != growing_.data()) g.own = std::make_unique<model::Past>(past.fork());
    g.past = g.own ? g.own.get() : &past;
  }
  if (!logits) return finish();
  for (Growing& g : growing_) grow(g, logits->span<float>());
  step_all();
  return finish();
}

// One sequence after the other: each step reads a whole text, and one past is enough.
Result Loop::without_past() {
  begin();
  model::Past past = model_.new_past();
  for (auto active = unfinished(); !active.empty() && !interrupted(); active = unfinished()) {
    for (Growing* g : active) {
      const bool first = result_.prompt_seconds == 0;
      past.truncate(0);
      const auto logits = read(past, g->text, first ? events_.prompt : Progress());
      if (!logits) break;
      if (first) result_.prompt_seconds = elapsed();
      grow(*g, logits->span<float>());
    }
  }
  return finish();
}

void require_sense(const Options& options) {
  require_valid(options.sampling);
  if (options.max_new_tokens < 1 || options.num_sequences < 1 || options.chunk < 1) {
    fail_usage({.what = "there is nothing to generate",
                .expected = "at least one new token, one sequence, and one token of the prompt in a call",
                .found = fmt::format("{}, {} and {}", options.max_new_tokens, options.num_sequences, options.chunk)});
  }
  if (options.num_sequences > kMostSequences) {
    fail_usage({.what = "too many sequences at once",
                .expected = fmt::format("at most {}", kMostSequences),
                .found = std::to_string(options.num_sequences)});
  }
  if (options.num_sequences > 1 && !options.sampling.do_sample) {
    fail_usage({.what = "without sampling all sequences are the same",
                .expected = "one sequence, or sampling",
                .found = fmt::format("{} sequences", options.num_sequences),
                .hint = "--do-sample"});
  }
}

void require_room(const model::Card& card, std::int64_t prompt, const Options& options) {
  const std::int64_t room = room_after(card, prompt);
  if (options.max_new_tokens <= room || (options.beyond_context && !card.context_is_hard)) return;
  const std::string way_out =
      card.context_is_hard
          ? ""
          : fmt::format(", or --beyond-context: {} positions have no fixed end", model::positions_text(card));
  fail_usage(
      {.what = "the text would grow beyond the model's context",
       .expected = fmt::format("at most {} new tokens after a prompt of {} (context: {})", room, prompt, card.context),
       .found = fmt::format("{} new tokens", options.max_new_tokens),
       .hint = (room > 0 ? fmt::format("--max-new-tokens {}", room) : "a shorter prompt") + way_out});
}

void require_possible(const model::Model& model, std::span<const std::int32_t> prompt, const Options& options) {
  const model::Card& card = model.card();
  if (!card.causal) {
    fail_usage({.what = "this model attends both ways and predicts no next token: it cannot generate",
                .expected = "a causal model",
                .found = card.notes.empty() ? card.family : fmt::format("{}, {}", card.family, card.notes)});
  }
  require_sense(options);
  if (prompt.empty()) fail_usage({.what = "the prompt has no tokens", .expected = "at least one token"});
  require_room(card, static_cast<std::int64_t>(prompt.size()), options);
}

}  // namespace

std::string_view name_of(Finish finish) {
  switch (finish) {
    case Finish::length:
      return "length";
    case Finish::eos:
      return "eos";
    case Finish::stop:
      return "stop";
    case Finish::interrupted:
      return "interrupted";
  }
  return "";
}

std::int64_t room_after(const model::Card& card, std::int64_t prompt_tokens) {
  return std::max<std::int64_t>(0, card.context + 1 - prompt_tokens);
}

std::int64_t keep_shared(model::Past& past, std::span<const std::int32_t> prompt) {
  const auto ids = past.ids();
  const auto parted = std::mismatch(ids.begin(), ids.end(), prompt.begin(), prompt.end()).first - ids.begin();
  const auto shared = std::min<std::int64_t>(parted, static_cast<std::int64_t>(prompt.size()) - 1);
  past.truncate(shared);
  return shared;
}

Result run(const model::Model& model, std::span<const std::int32_t> prompt, const Options& options,
           const Events& events) {
  require_possible(model, prompt, options);
  if (!options.use_past) return Loop(model, prompt, options, events).without_past();
  model::Past past = model.new_past();
  return Loop(model, prompt, options, events).with_past(past);
}

Result run(const model::Model& model, model::Past& past, std::span<const std::int32_t> prompt, const Options& options,
           const Events& events) {
  require_possible(model, prompt, options);
  if (!options.use_past) {
    fail_usage({.what = "a past was given that is not to be used", .expected = "use_past", .found = "no use_past"});
  }
  return Loop(model, prompt, options, events).with_past(past);
}

}  // namespace pkv::generate
