// Terminals. Blocks stand apart by an empty line; colour is put on after wrapping, for its codes are not
// columns.
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "show/columns.h"
#include "show/visit.h"

namespace pkv::show {
namespace {

constexpr int kFactLabel = 10, kFactName = 29, kLeastQuoted = 8;

struct Paint {
  bool on;

  std::string operator()(const char* code, std::string_view text) const {
    return on ? fmt::format("\033[{}m{}\033[0m", code, text) : std::string(text);
  }
  std::string bold(std::string_view text) const { return (*this)("1", text); }
  std::string toned(Tone tone, std::string_view text, const char* unsure) const {
    return (*this)(tone == Tone::good ? "1;32" : tone == Tone::bad ? "1;31" : unsure, text);
  }
};

using Rows = std::vector<std::vector<std::string>>;

// What stands behind the columns of a table.
struct Tails {
  std::vector<std::string> shown, painted;
};

Rows picked(const Rows& rows, const std::vector<std::size_t>& columns) {
  Rows all;
  for (const auto& row : rows) {
    auto& one = all.emplace_back();
    for (const std::size_t i : columns) one.push_back(row[i]);
  }
  return all;
}

int longest_line(std::string_view lines) {
  int most = 0;
  for (std::size_t at = 0; at < lines.size();) {
    const std::size_t end = std::min(lines.find('\n', at), lines.size());
    most = std::max(most, columns_of(lines.substr(at, end - at)));
    at = end + 1;
  }
  return most;
}

class Text {
 public:
  explicit Text(const Terminal& how) : paint_{how.colour}, columns_(how.columns), rest_(how.rest) {}

  void tell(const Document& d) {
    if (rest_.empty()) return tell_all(d);
    if (d.parts.empty() && (!d.answer || d.answer->gist.empty())) return tell_all(d);
    d.parts.empty() ? name(d) : head(d);
    if (d.answer) {
      conclusion(d.answer->conclusion, 0, true);
      for (const std::string& line : d.answer->gist) all_ += wrapped("  ", line, columns_);
    }
    for (const Document& part : d.parts) tell_short(part);
    add(wrapped("", rest_, columns_), d.parts.empty());
    overview(d);
  }

  std::string all() && { return std::move(all_); }

 private:
  void tell_all(const Document& d) {
    head(d);
    if (d.answer && d.answer->first) conclusion(d.answer->conclusion, 0);
    for (const Block& b : d.body) block(b, 2);
    remarks(d);
    if (d.answer) entries(d.answer->entries);
    if (d.answer && !d.answer->first) conclusion(d.answer->conclusion, 0);
    for (const Document& part : d.parts) tell_all(part);
    overview(d);
  }

  // Of a part; the overview goes on, and does alone for parts without an answer.
  void tell_short(const Document& d) {
    if (!d.answer) return;
    name(d);
    conclusion(d.answer->conclusion, 0, true);
    if (d.answer->gist.empty()) causes(d.answer->entries);
  }

  void overview(const Document& d) {
    if (!d.parts.empty()) all_ += "\n";
    for (const Block& b : d.overview) block(b, 0);
  }

  // By their names: what each is stands in the conclusion or is not short.
  void causes(const std::vector<Entry>& entries) {
    for (const Entry& e : entries) {
      if (e.name.empty() || !is_for(terminal, e.readers)) continue;
      all_ += wrapped("  ", fmt::format("{}: {}{}", e.label, e.name, e.certain ? "" : " (not certain)"), columns_);
    }
  }

  // An empty line in front, but at the beginning and of what is `close`.
  void add(const std::string& lines, bool close = false) {
    if (lines.empty()) return;
    if (!all_.empty() && !close && !all_.ends_with("\n\n")) all_ += "\n";
    all_ += lines;
  }

  // A name that is too long is cut; what is said about it goes on in the next line.
  void name(const Document& d) {
    if (d.name.empty()) return;
    std::string line = shortened(joined({d.name}, ""), columns_), lines;
    for (const std::string& one : d.about) {
      if (one.empty()) continue;
      const std::string more = " · " + printable(one);
      if (columns_of(line) + columns_of(more) > columns_) {
        lines += paint_.bold(line) + "\n";
        line = "  " + shortened(printable(one), columns_ - 2);
      } else {
        line += more;
      }
    }
    add(lines + paint_.bold(line) + "\n");
  }

  void head(const Document& d) {
    if (d.name.empty()) return;
    name(d);
    if (d.extent.empty()) return;
    const int room = columns_ - columns_of(d.extent) - 3;
    if (room < kLeastQuoted || d.sample.empty()) {
      all_ += wrapped("", d.extent, columns_);
    } else {
      all_ += quoted(d.sample, room) + " → " + d.extent + "\n";
    }
  }

  void block(const Block& b, int indent) {
    if (!is_for(terminal, b.readers)) return;
    std::visit(Overloaded{[&](const Table& t) { add(table(t, indent), t.close); },
                          [&](const Paragraph& p) { add(wrapped(spaces(p.indent), p.text, columns_), p.close); },
                          [&](const Marks& m) { add(marks(m)); }, [&](const Facts& f) { add(facts(f)); },
                          [&](const Conclusion& c) { conclusion(c, indent); },
                          [&](const Heading& h) { add(paint_.bold(h.text) + "\n"); },
                          [](const auto&) {}},  // charts, and what is folded
               b.content);
  }

  // A last column of words stands behind all others and has no part in whether they fit.
  std::string table(const Table& t, int indent) const {
    const std::vector<std::size_t> columns = columns_for(terminal, t);
    const bool tail = columns.size() > 1 && t.columns[columns.back()].align == Align::words;
    Rows rows;
    Tails tails;
    std::vector<bool> left;
    const auto add_row = [&](const auto& plain, const auto& painted) {
      auto& row = rows.emplace_back();
      for (const std::size_t i : columns) row.push_back(plain(i));
      if (!tail) return;
      row.pop_back();
      tails.shown.push_back("  " + plain(columns.back()));
      tails.painted.push_back("  " + painted(columns.back()));
    };
    for (const std::size_t i : columns) left.push_back(t.columns[i].align == Align::words);
    const auto heading = [&](std::size_t i) { return t.columns[i].brief.value_or(t.columns[i].name); };
    add_row(heading, heading);
    for (const Row& r : t.rows) {
      if (r.left_out.empty())
        add_row([&](std::size_t i) { return shown(r.cells[i]); }, [&](std::size_t i) { return painted(r.cells[i]); });
    }
    return in_bands(rows, indent, left, tails);
  }

  // What is too wide stands in bands under each other, tails behind the last or, where they do not fit there, in their
  // own. `tails`: as shown, and painted.
  std::string in_bands(const Rows& rows, int indent, const std::vector<bool>& left, const Tails& tails) const {
    std::vector<std::vector<std::size_t>> all = bands(rows, columns_);
    const Rows last = picked(rows, all.back());
    if (longest_line(aligned(last, indent, {}, tails.shown, columns_)) > columns_ && all.back().size() > 1) {
      all.push_back({0});
    }
    const int room = all.size() == 1 ? columns_ : 0;  // all as narrow as the widest must be
    std::string text;
    for (const auto& band : all) {
      std::vector<bool> left_of_band;
      for (const std::size_t i : band) left_of_band.push_back(left[i]);
      const bool ends = &band == &all.back();
      if (!text.empty()) text += "\n";
      text +=
          aligned(picked(rows, band), indent, left_of_band, ends ? tails.painted : std::vector<std::string>{}, room);
    }
    return text;
  }

  static std::string shown(const Cell& c) {
    const std::string text = printable(c.brief.value_or(c.shown));
    return c.tone ? fmt::format("{} {}", mark_of(*c.tone), text) : text;
  }

  std::string painted(const Cell& c) const { return c.tone ? paint_.toned(*c.tone, shown(c), "1;33") : shown(c); }

  std::string marks(const Marks& m) const {
    std::string lines;
    for (const Mark& item : m.items) {
      const std::string start = fmt::format("  {} ", mark_of(item.tone));
      const std::string line = wrapped(start, item.sentence, columns_);
      lines += "  " + paint_.toned(item.tone, mark_of(item.tone), "2") + line.substr(start.size() - 1);
    }
    return lines;
  }

  std::string facts(const Facts& f) const {
    std::string lines = f.heading.empty() ? "" : f.heading + "\n";
    const int room = std::min(kFactName, columns_ / 2 - 2);
    for (const auto& [name, value] : f.items) lines += wrapped("  " + pad_right(name, room), value, columns_);
    return lines;
  }

  // On a terminal it is ✓ or ✗.
  void conclusion(const Conclusion& c, int indent, bool close = false) {
    const Tone tone = c.tone == Tone::good ? Tone::good : Tone::bad;
    const std::string margin = spaces(indent), mark(mark_of(tone));
    const std::string head = c.name.empty() ? mark : mark + " " + c.name;
    const std::string lines =
        wrapped(margin + mark + " ", c.name.empty() ? c.sentence : c.name + ": " + c.sentence, columns_);
    add(margin + paint_.toned(tone, head, "") + lines.substr(margin.size() + head.size()), close);
    if (!c.more.empty()) add(wrapped(margin + "  ", c.more, columns_), true);
  }

  // Rows that were left out, by the reason.
  static void add_left_out(const Table& table, std::map<std::string, std::string>& names_by_reason) {
    for (const Row& row : table.rows) {
      if (row.left_out.empty()) continue;
      std::string& names = names_by_reason[row.left_out];
      names += (names.empty() ? "" : "; ") + row.cells[columns_for(terminal, table).front()].shown;
    }
  }

  void remarks(const Document& d) {
    std::string lines;
    if (d.answer) {
      for (const std::string& reason : d.answer->reasons) lines += wrapped("  ", reason, columns_);
    }
    for (const std::string& note : d.notes) lines += wrapped("  ", note, columns_);
    std::map<std::string, std::string> names_by_reason;
    for (const Block& b : d.body) {
      const Table* table = std::get_if<Table>(&b.content);
      if (table != nullptr && is_for(terminal, b.readers)) add_left_out(*table, names_by_reason);
    }
    for (const auto& [reason, names] : names_by_reason) {
      lines += wrapped("  ", fmt::format("Left out, as {}: {}.", reason, names), columns_);
    }
    add(lines);
  }

  // Those of one label stand together.
  void entries(const std::vector<Entry>& entries) {
    std::string_view label;
    for (const Entry& e : entries) {
      if (!is_for(terminal, e.readers)) continue;
      add(entry(e), e.aside || e.label == label);
      if (!e.aside) label = e.label;
    }
  }

  std::string entry(const Entry& e) const {
    if (e.aside) return fact(e.label, e.statement);
    if (e.name.empty()) return wrapped(fmt::format("  {}: ", e.label), e.statement, columns_);
    const std::string head = fmt::format("{}: {}{}", e.label, e.name, e.certain ? "" : " (not certain)");
    std::string lines = "  " + paint_.bold(head) + "\n" + wrapped("    ", e.statement + ".", columns_);
    for (const auto& [name, value] : e.facts) lines += fact(name, value);
    return lines;
  }

  std::string fact(const std::string& label, const std::string& value) const {
    return wrapped("    " + pad_right(label + ":", kFactLabel), value, columns_);
  }

  Paint paint_;
  int columns_;
  std::string rest_;
  std::string all_;
};

}  // namespace

std::string as_text(const Document& document, const Terminal& how) {
  Text text(how);
  text.tell(document);
  return std::move(text).all();
}

}  // namespace pkv::show
