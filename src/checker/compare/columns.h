// Cells of the reports' tables. For the renderers of this room, as show/columns.h is for those of all.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "checker/compare/compare.h"
#include "checker/compare/statistics.h"
#include "checker/session/session.h"
#include "show/columns.h"

namespace pkv::check {

// max |Δ| as a short number; "NaN" where logits are not finite.
std::string distance_cell(const Difference& difference);

// "fp32"; "fp32, past fp16" where the past has a format of its own.
std::string formats_cell(const Description& subject);

// "tiny-gpt2 · GPT-2 · fp32 · pkv cpu (AVX2), 2 threads", printable.
std::string subject_line(const Description& subject);

// "5, past 3": position and past length; without the past when that is not known; empty for no place.
std::string place_cell(const std::optional<Place>& place);

// The article's table in cells: a heading, then a row for each of Summary::names, numbers as pandas shows them.
std::vector<std::vector<std::string>> table_cells(const Table& table);

// A column as pandas shows it: six decimals, or all in scientific notation when a value other than zero is below 1e-6.
std::array<std::string, 7> pandas_column(const std::array<double, 7>& values);

}  // namespace pkv::check
