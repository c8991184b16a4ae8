// The one interface for what can be fed: a system answers the next tokens of a text with logits. Checks, measurements
// and perplexity know no keys, values, layers or devices, so anything that can be fed can be checked and timed: our
// engine, recorded files, a remote server. What a system can do beyond that are powers, present or not.
//
//   const auto session = subject.fresh();
//   const session::Logits logits = session->feed(ids);
//   if (session::Fork* fork = session->fork()) fork->fork_session()->feed(more);
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace pkv::check {
enum class CauseId : std::uint8_t;  // checker/causes/cause.h lists them
}

namespace pkv::session {

// Logits of consecutive positions, those fed last: all logits of each, or its likeliest tokens only (top-k), as servers
// show them. Log-probabilities will do for logits: they differ by one number for the whole row.
struct Logits {
  std::int64_t vocab = 0;
  std::vector<float> values;           // [rows, seen], row-major; of top-k each row falls
  std::vector<std::int32_t> ids = {};  // top-k: the token of each value, [rows, seen]; empty when all were seen
  std::int64_t top = 0;                // top-k: how many tokens of a row were seen; 0: all

  bool dense() const { return top == 0; }
  std::int64_t seen() const { return dense() ? vocab : top; }  // logits of a row, of `vocab`
  std::int64_t rows() const { return seen() == 0 ? 0 : static_cast<std::int64_t>(values.size()) / seen(); }
  std::span<const float> row(std::int64_t r) const { return part(std::span(values), r); }          // [seen]
  std::span<const std::int32_t> row_ids(std::int64_t r) const { return part(std::span(ids), r); }  // [top]; dense: none

 private:
  template <class T>
  std::span<const T> part(std::span<const T> all, std::int64_t r) const {
    if (all.empty()) return all;
    return all.subspan(static_cast<std::size_t>(r * seen()), static_cast<std::size_t>(seen()));
  }
};

class Session;

// Forgets all but the first `length` tokens, of which there are at least as many.
class Rewind {
 public:
  virtual ~Rewind() = default;
  virtual void truncate(std::int64_t length) = 0;
};

// A second session with the same past; both go on independently.
class Fork {
 public:
  virtual ~Fork() = default;
  virtual std::unique_ptr<Session> fork_session() = 0;
};

// States inside the model, of consecutive positions; rows are those of one call.
struct States {
  std::int64_t width = 0;                    // of what layers hand on
  std::int64_t heads = 0, head_dim = 0;      // 0: not known
  std::vector<std::vector<float>> layers;    // [layers + 1] of [rows, width]: as embedded, then after each layer
  std::vector<std::vector<float>> attended;  // [layers] of [rows, heads, head_dim]: what each head gives, before heads
                                             // are mixed; empty where it cannot be seen; so are layers without any
};

// Shows what happens inside.
class Look {
 public:
  virtual ~Look() = default;
  // As Session::feed; `states` become those of the new positions.
  virtual Logits feed_and_look(std::span<const std::int32_t> ids, States& states) = 0;
};

// A past outside of the process; gone with this object.
class SavedPast {
 public:
  virtual ~SavedPast() = default;
  virtual std::uint64_t bytes() const = 0;
  virtual std::unique_ptr<Session> restore() = 0;
  // Makes the next `restore` read from the disk; false where the system keeps the bytes in memory nevertheless.
  virtual bool leave_memory() = 0;
};

// Writes the session's past to where it outlives the process's memory. Error::load when that fails.
class Save {
 public:
  virtual ~Save() = default;
  virtual std::unique_ptr<SavedPast> save_past() = 0;
};

// One text being fed to one system, with its past.
class Session {
 public:
  virtual ~Session() = default;

  // Feeds the next tokens, at least one, after those fed before; gives the logits of the new positions: of all of them,
  // [ids, vocab], or of as many of the last ones as the system shows. Error::usage when the system does not take them:
  // an id outside the vocabulary, or more tokens than its context has. The session is then of no more use.
  virtual Logits feed(std::span<const std::int32_t> ids) = 0;

  // The same, when the logits of the last token are all that is wanted: one row.
  virtual Logits feed_last(std::span<const std::int32_t> ids);

  // Feeds tokens whose logits nobody wants; errors as of feed().
  virtual void skip(std::span<const std::int32_t> ids) { feed(ids); }

  // Number of tokens in the past: what the system itself says, not what was fed. 0 when it keeps none; nothing when it
  // does not say.
  virtual std::optional<std::int64_t> length() const { return std::nullopt; }

  // Powers that not every system has; null where it lacks them.
  virtual Rewind* rewind() { return nullptr; }
  virtual Fork* fork() { return nullptr; }
  virtual Look* look() { return nullptr; }
  virtual Save* save() { return nullptr; }
};

// What is needed to label a report, to say how far rounding alone can move a logit, and to know what can be fed. Only
// `name` is required.
struct Description {
  std::string name;                     // "tiny-gpt2"
  std::string family;                   // "GPT-2"
  std::string system;                   // "pkv cpu (AVX2), 2 threads"; "transformers 5.17, cuda"
  std::string format;                   // number format of the weights: "fp32", "fp16", "nf4", ...
  std::string past_format;              // of the past in memory; empty: that of the weights, or not known
  std::string values_format;            // what values are rounded to between operations: "fp32", "fp16" or
                                        // "bf16"; empty: `format` if it is one of those, else fp32
  std::string logits_format;            // the logits' own type, for ULPs; empty: as values_format
  std::int64_t layers = 0;              // 0: unknown
  std::int64_t width = 0;               // terms of the longest sum in a layer; 0: unknown
  std::int64_t vocab = 0;               // 0: unknown
  std::vector<std::int64_t> windows{};  // of layers that see no more than so many tokens, each once
  std::int64_t longest = 0;             // tokens that a text may have; 0: no limit, or unknown
  std::string longest_is;               // what sets that limit: "the model's context"
  std::string breaks_law;           // reason, as the end of a sentence, if the system knows that it cannot obey the row
                                    // law: a token's logits depend on what else is in its call
  std::string no_past;              // reason, as the end of a sentence, if it knows that a past cannot give the logits
                                    // of the whole text
  bool promises_same_bits = false;  // the system claims the row law: then anything but bit equality is a fault
};

// Something that may have gone wrong: one of the checker's causes, and its number where it has one.
struct Supposition {
  check::CauseId cause{};
  std::int64_t count = 0;
  std::span<const std::int32_t> taken_back{};  // tokens that were fed after those of the past, and taken back
};

// What the logits would be, had something gone wrong: computed on a path that keeps no past.
class Counterfactual {
 public:
  virtual ~Counterfactual() = default;

  // Logits of ids[past ..], [ids - past, vocab], as if they had been fed after the others by a system of which all of
  // this is true. None where it cannot be computed or has no meaning for the model. Errors as of Session::feed.
  virtual std::optional<Logits> suppose(std::span<const Supposition> what, std::span<const std::int32_t> ids,
                                        std::int64_t past) = 0;
};

// One session's share of a call that feeds several.
struct Feed {
  Session& session;
  std::span<const std::int32_t> ids;
};

// A system with one model loaded.
class Subject {
 public:
  virtual ~Subject() = default;
  virtual Description describe() const = 0;
  virtual std::unique_ptr<Session> fresh() = 0;  // nothing fed yet

  // Feeds several sessions of this subject, each once, with as few calls of the system as it can; their logits in the
  // order of `feeds`. The same as Session::feed of one after the other, which is what it does unless a system has a
  // better way. Errors as of Session::feed; then none of these sessions is of more use.
  virtual std::vector<Logits> feed(std::span<const Feed> feeds);

  virtual Counterfactual* counterfactual() { return nullptr; }
};

}  // namespace pkv::session
