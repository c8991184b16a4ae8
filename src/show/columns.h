// Text in columns: how wide a string is on a terminal, padding, wrapping, and numbers as the reports show them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/utf8.h"

namespace pkv::show {

inline constexpr int terminal_columns = 80;  // of a terminal whose width nobody knows

// Terminal columns of UTF-8 text: 2 for East Asian wide characters and emoji, 0 for combining marks, else 1.
int columns_of(std::string_view text);

std::string spaces(int count);  // none if that is negative
std::string pad_left(std::string_view text, int columns);
std::string pad_right(std::string_view text, int columns);

// At most that many columns; what does not fit is replaced by "…" at the end.
std::string shortened(std::string_view text, int columns);

// `start` and text broken at spaces into lines of at most so many columns, each ended by a newline; all lines but the
// first are indented to stand under the text. Control characters are made printable. A word is never broken.
std::string wrapped(std::string_view start, std::string_view text, int columns = terminal_columns);

using pkv::printable;  // base/utf8.h

// With a capital at its beginning, if that is a letter of ASCII.
std::string capital(std::string text);

// Printable, between double quotes, shortened to the columns.
std::string quoted(std::string_view text, int columns);

// Rows of cells under each other: the columns that `left` says (beyond its end: none) to the left, all others to the
// right; two spaces between columns, one, and no indent, if the lines would not fit into `room` columns otherwise.
// `tails`, one a row if there are any, stand behind, whether they fit or not, and may hold colour.
std::string aligned(const std::vector<std::vector<std::string>>& rows, int indent,
                    const std::vector<bool>& left = {true}, const std::vector<std::string>& tails = {},
                    int room = terminal_columns);

// The columns of such a table in bands that fit into `room` columns each, the first column leading every one of them:
// indices. One band where all fit.
std::vector<std::vector<std::size_t>> bands(const std::vector<std::vector<std::string>>& rows, int room);

// Rows as a Markdown table: the first is the heading; `left` as for aligned().
std::string markdown_table(const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& left = {true});

// A line of a CSV file, as RFC 4180 has it: cells are quoted where they must be.
std::string csv_line(const std::vector<std::string>& cells);

// So many digits that count: "0", "0.125", "5.3e-05", "19.2". "inf", "NaN".
std::string short_number(double value, int digits = 3);

// "99999", then "1e+05".
std::string short_count(std::int64_t value);

// 1234567 as "1,234,567".
std::string grouped(std::int64_t value);

// "1 token", "2 tokens".
std::string counted(std::int64_t count, std::string_view thing);

}  // namespace pkv::show
