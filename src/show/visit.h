// Which of a document a form tells its reader. For the forms of this room.
#pragma once

#include "show/document.h"

namespace pkv::show {

// std::visit with one function for each kind.
template <class... F>
struct Overloaded : F... {
  using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

inline bool is_for(Readers reader, Readers readers) { return (reader & readers) != 0; }

// The columns that the reader is shown: indices.
std::vector<std::size_t> columns_for(Readers reader, const Table& table);

// "a · b", without what is empty, printable.
std::string joined(const std::vector<std::string>& parts, std::string_view between);

}  // namespace pkv::show
