// What the measurement needs of a system: that it can be fed, that its past can be forked, and perhaps saved; and of
// the machine: its peaks. It knows no models, files or processors, so that tests can measure systems whose times they
// know.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>

namespace pkv::measure {

// One text being fed, with its past.
class Session {
 public:
  virtual ~Session() = default;

  // Feeds the next tokens; gives the logits [vocab] of the last of them, valid until the next call.
  virtual std::span<const float> feed(std::span<const std::int32_t> ids) = 0;

  // A second session with the same past; both go on independently.
  virtual std::unique_ptr<Session> fork() = 0;

  // Forgets all but the first `length` tokens.
  virtual void truncate(std::int64_t length) = 0;
};

// A past outside of the process; gone with this object.
class Saved {
 public:
  virtual ~Saved() = default;
  virtual std::uint64_t bytes() const = 0;
  virtual std::unique_ptr<Session> restore() = 0;
  // The next `restore` has to read from the disk; false where the system keeps the bytes in memory nevertheless.
  virtual bool leave_memory() = 0;
};

struct Description {
  std::string name;         // "tiny-gpt2"
  std::string family;       // "GPT-2"
  std::string system;       // "pkv cpu (AVX2), 2 threads"
  std::string format;       // of the weights
  std::string past_format;  // of the past
  std::int64_t vocab = 0;
  std::int64_t longest = 0;  // tokens that a text may have; 0: no limit
  std::string longest_is;    // what that is: "the model's context"
  std::string no_past;       // why a past cannot give the same answer, where that is known: a sentence's end
  double weight_bytes = 0;   // read by each call
  double fmas = 0;           // multiply-adds of a token, without attention and output layer
  double output_fmas = 0;    // of a row of logits
};

class Subject {
 public:
  virtual ~Subject() = default;
  virtual Description describe() const = 0;
  virtual std::unique_ptr<Session> fresh() = 0;  // nothing fed yet

  // Bytes that one token after `past` others has to read; multiply-adds of a call, without the output layer.
  virtual double step_bytes(std::int64_t past) const = 0;
  virtual double call_fmas(std::int64_t past, std::int64_t tokens) const = 0;

  // Null where pasts cannot be saved.
  virtual std::unique_ptr<Saved> save(Session&) { return nullptr; }
};

// The denominators.
class Machine {
 public:
  virtual ~Machine() = default;
  virtual double read_rate() = 0;           // bytes per second
  virtual double fma_rate() = 0;            // multiply-adds per second
  virtual std::uint64_t peak_memory() = 0;  // bytes of this process at its largest, without what measuring needs
};

}  // namespace pkv::measure
