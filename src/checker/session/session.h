// What the checker needs of a system that answers with logits: that it can be fed. It knows no keys, values, layers or
// devices, so anything that can be fed can be checked: our engine, recorded files, a remote server. Extra powers are
// separate interfaces, present or not.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace pkv::session {

// Logits of consecutive positions: [rows, vocab], row-major.
struct Logits {
  std::int64_t vocab = 0;
  std::vector<float> values;

  std::int64_t rows() const { return vocab == 0 ? 0 : static_cast<std::int64_t>(values.size()) / vocab; }
  std::span<const float> row(std::int64_t r) const {
    return std::span(values).subspan(static_cast<std::size_t>(r * vocab), static_cast<std::size_t>(vocab));
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
                                             // are mixed; empty where it cannot be seen
};

// Shows what happens inside.
class Look {
 public:
  virtual ~Look() = default;
  // As Session::feed; `states` become those of the new positions.
  virtual Logits feed_and_look(std::span<const std::int32_t> ids, States& states) = 0;
};

// One text being fed to one system, with its past.
class Session {
 public:
  virtual ~Session() = default;

  // Feeds the next tokens, at least one, after those fed before; gives the logits of the new positions: [ids, vocab].
  // Error::usage when the system does not take them: an id outside the vocabulary, or more tokens than its context has.
  // The session is then of no more use.
  virtual Logits feed(std::span<const std::int32_t> ids) = 0;

  // Feeds tokens whose logits nobody wants; errors as of feed().
  virtual void skip(std::span<const std::int32_t> ids) { feed(ids); }

  // Number of tokens in the past: what the system itself says, not what was fed. 0 when it keeps none.
  virtual std::int64_t length() const = 0;

  // Powers that not every system has; null where it lacks them.
  virtual Rewind* rewind() { return nullptr; }
  virtual Fork* fork() { return nullptr; }
  virtual Look* look() { return nullptr; }
};

// What is needed to label a report and to say how far rounding alone can move a logit. Only `name` is required.
struct Description {
  std::string name;                 // "tiny-gpt2"
  std::string family;               // "GPT-2"
  std::string system;               // "pkv cpu (AVX2), 2 threads"; "transformers 5.17, cuda"
  std::string format;               // of the weights: "fp32", "fp16", "nf4", ...
  std::string past_format;          // of the past in memory, when it is another; empty: not known, or the same
  std::string values_format;        // what values are rounded to between operations: "fp32", "fp16" or
                                    // "bf16"; empty: `format` if it is one of those, else fp32
  std::string logits_format;        // the logits' own type, for ULPs; empty: as values_format
  std::int64_t layers = 0;          // 0: unknown
  std::int64_t width = 0;           // terms of the longest sum in a layer; 0: unknown
  std::string breaks_law;           // why this system cannot keep it, where it knows: a sentence's end
  bool promises_same_bits = false;  // the system claims the row law: then anything but bit equality is a fault
};

// Something that may have gone wrong: the name of a cause in causes.h, and its number where it has one.
struct Supposition {
  std::string cause;
  std::int64_t count = 0;
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

// A system with one model loaded.
class Subject {
 public:
  virtual ~Subject() = default;
  virtual Description describe() const = 0;
  virtual std::unique_ptr<Session> fresh() = 0;  // nothing fed yet
  virtual Counterfactual* counterfactual() { return nullptr; }
};

}  // namespace pkv::session
