// What a report says, once, for every form: as_text, as_markdown, as_html and as_csv render a Document, and know
// nothing of what it is about. A room turns its result into one (checker/check/document.h); its JSON stays its own.
//
// A new form is one file here that renders Documents. A new figure is a line in a room's list of columns: its name, its
// key for programs, where it stands and how it is shown.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "show/environment.h"
#include "show/terminal.h"
#include "show/tone.h"

namespace pkv::show {

// Who is told: a form tells those parts of a document that are for its reader.
using Readers = std::uint8_t;
inline constexpr Readers terminal = 1;  // of few columns
inline constexpr Readers plain = 2;     // running text, such as Markdown
inline constexpr Readers browser = 4;   // has room, headings and charts
inline constexpr Readers all_readers = terminal | plain | browser;

// One value, as each reader is shown it.
struct Cell {
  std::string shown = {};
  std::optional<std::string> brief = {};  // on a terminal, where that differs
  std::string data = {};                  // for programs
  std::optional<Tone> tone = {};          // is shown with a mark in front
  std::optional<std::size_t> part = {};   // of the document, which a page links to
};

Cell words(std::string text);
Cell count(std::int64_t value);                      // "1,234"; on a terminal "1234"
Cell short_count_of(std::int64_t value);             // "1234", then "1e+05"
Cell number(double value, int terminal_digits = 3);  // 3 digits that count
std::string data(double value);                      // "%.9g"

enum class Align {
  words,    // to the left
  tag,      // a word or two: to the left, but on a terminal to the right
  numbers,  // to the right
};

struct Column {
  std::string name = {};  // heading for readers
  std::string key = {};   // heading for programs; empty: not for them
  Align align = Align::numbers;
  Readers readers = all_readers;
  std::optional<std::string> brief = {};  // heading on a terminal, where that differs
};

// `left_out`: why the row has no values. A terminal is told under the document, others in the row.
struct Row {
  std::vector<Cell> cells;
  std::string left_out = {};
};

// [columns] cells in every row.
struct Table {
  std::vector<Column> columns;
  std::vector<Row> rows;
  std::string caption = {};  // on a page
  bool close = false;        // stands on a terminal right under what comes before it
};

// A column, and its cell for a T.
template <class T>
struct ColumnOf {
  Column column;
  Cell (*cell)(const T&);
};

// A row for each item.
template <class T>
Table table_of(std::span<const ColumnOf<T>> columns, std::span<const T> items) {
  Table table;
  for (const ColumnOf<T>& c : columns) table.columns.push_back(c.column);
  for (const T& item : items) {
    Row& row = table.rows.emplace_back();
    for (const ColumnOf<T>& c : columns) row.cells.push_back(c.cell(item));
  }
  return table;
}

struct Heading {
  std::string text;
  int level = 1;  // 2: below another heading
};

// `indent`: columns on a terminal. `close`: stands on a terminal right under what comes before it.
struct Paragraph {
  std::string text;
  int indent = 2;
  bool close = false;
};

struct Mark {
  Tone tone;
  std::string sentence;
};

struct Marks {
  std::vector<Mark> items;
};

// Names and what belongs to each, under a heading that may be empty.
struct Facts {
  std::string heading;
  std::vector<std::pair<std::string, std::string>> items;
};

// `specification`: JSON of a Vega view, see html/pieces.h.
struct Chart {
  std::string title, caption, specification;
};

// What something comes to: "✗ differs: " and a sentence, then words that go with it.
struct Conclusion {
  Tone tone;
  std::string name;  // may be empty
  std::string sentence;
  std::string more = {};
};

struct Block;

// Not seen before the reader asks for it.
struct Fold {
  std::string summary;
  std::vector<Block> inside;
};

struct Block {
  std::variant<Heading, Paragraph, Table, Marks, Facts, Chart, Conclusion, Fold> content;
  Readers readers = all_readers;
};

// One thing that goes with an answer: "cause: top-left-mask", a statement, and facts about it.
struct Entry {
  std::string label;      // "cause"
  std::string name;       // may be empty
  std::string statement;  // with a name: a sentence without its full stop
  bool certain = true;
  std::vector<std::pair<std::string, std::string>> facts = {};
  bool aside = false;  // goes with the entry before
  Readers readers = all_readers;
};

// What the reader came for.
struct Answer {
  Conclusion conclusion;
  std::string headline;  // of a page: "Yes: identical"
  std::vector<Entry> entries = {};
  std::vector<std::string> reasons = {};
  bool first = false;  // stands first on a terminal, too; else at the end, which is what a short terminal shows
  // Lines under the conclusion that do for who wants it short, where all is well; none where all must be told.
  std::vector<std::string> gist = {};
};

// A part that could not be made, and why.
struct Missing {
  std::string heading, message;
};

struct Document {
  std::string name;                // what it is about: "tiny-gpt2"
  std::string title;               // of a page
  std::string lead = {};           // under the title of a page, in place of what follows
  std::vector<std::string> about;  // "GPT-2", "fp32", ...
  std::string extent = {};         // "4 tokens"
  std::string sample = {};         // the text itself
  std::optional<Answer> answer = {};
  std::string question = {};  // what was asked, for a page
  std::vector<Block> body = {};
  std::vector<std::string> notes = {};

  std::vector<Document> parts = {};
  std::vector<Block> overview = {};  // of all parts: on a page before them, elsewhere behind them
  std::vector<Missing> missing = {};
  std::string folded = {};  // what a page says of the body where it is a part, and so folded

  Environment environment = {};
  std::string command = {};  // that repeats it
};

std::string as_text(const Document& document, const Terminal& how = {});
std::string as_markdown(const Document& document);
std::string as_html(const Document& document);  // one file, see html/pieces.h
std::string as_csv(const Document& document);   // its first table that has keys

}  // namespace pkv::show
