// What the sources of the extension share: how values and errors pass between Python and the library.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/progress.h"
#include "checker/session/session.h"
#include "show/environment.h"

namespace pkv::python {

namespace nb = nanobind;

using Ids = std::vector<std::int32_t>;

// A Python object held where the interpreter's lock may not be held when it goes.
class Held {
 public:
  explicit Held(nb::object object) : object_(std::move(object)) {}
  ~Held() {
    nb::gil_scoped_acquire lock;
    object_.reset();
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  const nb::object& get() const { return object_; }

 private:
  nb::object object_;
};

// Throws KeyboardInterrupt, or what else a signal's handler raised.
void look_at_signals();
Progress stoppable();  // a progress that does so

// pkv.Error and the library's Error, of one kind.
void set_error_class(nb::object error_class);
[[noreturn]] void throw_as_error(const nb::python_error& raised);  // pkv.Error becomes Error, others stay as they are

// Adds the rows [n, vocab] (or [1, n, vocab]) of anything that speaks DLPack or the buffer protocol, on the CPU, in
// fp16, bf16, fp32 or fp64. Error::load for anything else.
void add_rows(nb::handle array, session::Logits& to);
session::Logits rows_of(nb::handle array_or_blocks);

// fp32 [rows, columns] that anybody can read: memoryview, NumPy, torch.from_dlpack.
nb::object array(std::vector<float> values, std::int64_t rows, std::int64_t columns);

// A system in Python as one that the checker feeds, see pkv/feed.py for what it has to have.
std::unique_ptr<session::Subject> living(nb::object subject);

// The subject behind a Model of the engine, or living(subject).
std::shared_ptr<session::Subject> subject_of(nb::object subject);

show::Environment here();

void bind_engine(nb::module_& m);
void bind_report(nb::module_& m);
void bind_measure(nb::module_& m);

}  // namespace pkv::python
