// Terminals of 80 columns. Blocks stand apart by an empty line; colour is put on after wrapping, for its codes are not
// columns.
#include <fmt/format.h>

#include <map>

#include "show/columns.h"
#include "show/visit.h"

namespace pkv::show {
namespace {

constexpr int kFactLabel = 10, kFactName = 29;

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

class Text {
 public:
  explicit Text(bool colour) : paint_{colour} {}

  void tell(const Document& d) {
    head(d);
    if (d.answer && d.answer->first) conclusion(d.answer->conclusion, 0);
    for (const Block& b : d.body) block(b, 2);
    remarks(d);
    if (d.answer) entries(d.answer->entries);
    if (d.answer && !d.answer->first) conclusion(d.answer->conclusion, 0);
    for (const Document& part : d.parts) tell(part);
    if (!d.parts.empty()) all_ += "\n";
    for (const Block& b : d.overview) block(b, 0);
  }

  std::string all() && { return std::move(all_); }

 private:
  // An empty line in front, but at the beginning and of what is `close`.
  void add(const std::string& lines, bool close = false) {
    if (lines.empty()) return;
    if (!all_.empty() && !close && !all_.ends_with("\n\n")) all_ += "\n";
    all_ += lines;
  }

  void head(const Document& d) {
    if (d.name.empty()) return;
    std::vector<std::string> parts{d.name};
    parts.insert(parts.end(), d.about.begin(), d.about.end());
    add(paint_.bold(shortened(joined(parts, " · "), terminal_columns)) + "\n");
    if (d.extent.empty()) return;
    const std::string quote =
        d.sample.empty() ? "" : quoted(d.sample, terminal_columns - columns_of(d.extent) - 3) + " → ";
    all_ += quote + d.extent + "\n";
  }

  void block(const Block& b, int indent) {
    if (!is_for(terminal, b.readers)) return;
    std::visit(Overloaded{[&](const Table& t) { add(table(t, indent), t.close); },
                          [&](const Paragraph& p) { add(wrapped(spaces(p.indent), p.text), p.close); },
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
    std::vector<std::vector<std::string>> rows;
    std::vector<std::string> tails;
    std::vector<bool> left;
    const auto add_row = [&](const auto& plain, const auto& painted) {
      auto& row = rows.emplace_back();
      for (const std::size_t i : columns) row.push_back(plain(i));
      if (!tail) return;
      row.pop_back();
      tails.push_back("  " + painted(columns.back()));
    };
    for (const std::size_t i : columns) left.push_back(t.columns[i].align == Align::words);
    const auto heading = [&](std::size_t i) { return t.columns[i].brief.value_or(t.columns[i].name); };
    add_row(heading, heading);
    for (const Row& r : t.rows) {
      if (r.left_out.empty())
        add_row([&](std::size_t i) { return shown(r.cells[i]); }, [&](std::size_t i) { return painted(r.cells[i]); });
    }
    return aligned(rows, indent, left, tails);
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
      const std::string line = wrapped(start, item.sentence);
      lines += "  " + paint_.toned(item.tone, mark_of(item.tone), "2") + line.substr(start.size() - 1);
    }
    return lines;
  }

  std::string facts(const Facts& f) const {
    std::string lines = f.heading.empty() ? "" : f.heading + "\n";
    for (const auto& [name, value] : f.items) lines += fmt::format("  {}{}\n", pad_right(name, kFactName), value);
    return lines;
  }

  // On a terminal it is ✓ or ✗.
  void conclusion(const Conclusion& c, int indent) {
    const Tone tone = c.tone == Tone::good ? Tone::good : Tone::bad;
    const std::string margin = spaces(indent), mark(mark_of(tone));
    const std::string head = c.name.empty() ? mark : mark + " " + c.name;
    const std::string lines = wrapped(margin + mark + " ", c.name.empty() ? c.sentence : c.name + ": " + c.sentence);
    add(margin + paint_.toned(tone, head, "") + lines.substr(margin.size() + head.size()));
    if (!c.more.empty()) add(wrapped(margin + "  ", c.more), true);
  }

  // Rows that were left out, by the reason.
  static void add_left_out(const Table& table, std::map<std::string, std::string>& names_by_reason) {
    for (const Row& row : table.rows) {
      if (row.left_out.empty()) continue;
      std::string& names = names_by_reason[row.left_out];
      names += (names.empty() ? "" : "; ") + row.cells.front().shown;
    }
  }

  void remarks(const Document& d) {
    std::string lines;
    if (d.answer) {
      for (const std::string& reason : d.answer->reasons) lines += wrapped("  ", reason);
    }
    for (const std::string& note : d.notes) lines += wrapped("  ", note);
    std::map<std::string, std::string> names_by_reason;
    for (const Block& b : d.body) {
      const Table* table = std::get_if<Table>(&b.content);
      if (table != nullptr && is_for(terminal, b.readers)) add_left_out(*table, names_by_reason);
    }
    for (const auto& [reason, names] : names_by_reason) {
      lines += wrapped("  ", fmt::format("Left out, as {}: {}.", reason, names));
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
    if (e.name.empty()) return wrapped(fmt::format("  {}: ", e.label), e.statement);
    const std::string head = fmt::format("{}: {}{}", e.label, e.name, e.certain ? "" : " (not certain)");
    std::string lines = "  " + paint_.bold(head) + "\n" + wrapped("    ", e.statement + ".");
    for (const auto& [name, value] : e.facts) lines += fact(name, value);
    return lines;
  }

  static std::string fact(const std::string& label, const std::string& value) {
    return wrapped("    " + pad_right(label + ":", kFactLabel), value);
  }

  Paint paint_;
  std::string all_;
};

}  // namespace

std::string as_text(const Document& document, bool colour) {
  Text text(colour);
  text.tell(document);
  return std::move(text).all();
}

}  // namespace pkv::show
