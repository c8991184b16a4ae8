// Markdown: the answer first. An empty line stands between blocks; control characters are made printable.
#include <fmt/format.h>

#include "show/columns.h"
#include "show/visit.h"

namespace pkv::show {
namespace {

class Markdown {
 public:
  void tell(const Document& d) {
    head(d);
    if (d.answer) answer(*d.answer);
    for (const Block& b : d.body) block(b);
    if (d.answer) {
      for (const std::string& reason : d.answer->reasons) add(printable(reason) + "\n");
    }
    for (const std::string& note : d.notes) add(printable(note) + "\n");
    for (const Document& part : d.parts) tell(part);
    for (const Block& b : d.overview) block(b);
    for (const Missing& m : d.missing) add(fmt::format("{}\n\n```\n{}\n```\n", printable(m.heading), m.message));
  }

  std::string all() && { return std::move(all_); }

 private:
  void add(const std::string& lines) {
    if (lines.empty()) return;
    if (!all_.empty()) all_ += "\n";
    all_ += lines;
  }

  void head(const Document& d) {
    if (d.name.empty()) return;
    add(fmt::format("{} {}\n", d.parts.empty() ? "##" : "#", printable(d.name)));
    std::vector<std::string> about = d.about;
    about.push_back(d.extent);
    const std::string line = joined(about, ", ");
    if (!line.empty()) add(line + "\n");
    if (!d.sample.empty()) add(quoted(d.sample, 400) + "\n");
  }

  void answer(const Answer& a) {
    add(conclusion(a.conclusion));
    std::string lines;
    for (const Entry& e : a.entries) {
      if (is_for(plain, e.readers)) lines += entry(e);
    }
    add(lines);
  }

  static std::string conclusion(const Conclusion& c) {
    const std::string sentence = printable(c.sentence), more = c.more.empty() ? "" : " " + printable(c.more);
    if (c.name.empty()) return fmt::format("**{}**{}\n", sentence, more);
    return fmt::format("**{}**: {}{}\n", c.name, sentence, more);
  }

  // The first fact stands in brackets, without its name.
  static std::string entry(const Entry& e) {
    if (e.name.empty()) return fmt::format("- {}: {}\n", e.label, printable(e.statement));
    std::string line =
        fmt::format("- {}: **{}**{}: {}", e.label, e.name, e.certain ? "" : " (not certain)", printable(e.statement));
    bool first = true;
    for (const auto& [name, value] : e.facts) {
      line += first ? fmt::format(" ({})", printable(value)) : fmt::format("; {} {}", name, printable(value));
      first = false;
    }
    return line + "\n";
  }

  void block(const Block& b) {
    if (!is_for(plain, b.readers)) return;
    std::visit(
        Overloaded{[&](const Table& t) { add(table(t)); }, [&](const Paragraph& p) { add(printable(p.text) + "\n"); },
                   [&](const Marks& m) { add(marks(m)); }, [&](const Facts& f) { add(facts(f)); },
                   [&](const Conclusion& c) { add(conclusion(c)); },
                   [&](const Heading& h) { add(fmt::format("###{} {}\n", h.level > 1 ? "#" : "", h.text)); },
                   [](const auto&) {}},  // charts, and what is folded
        b.content);
  }

  // What was left out says why in its last column.
  static std::string table(const Table& t) {
    const std::vector<std::size_t> columns = columns_for(plain, t);
    std::vector<std::vector<std::string>> rows(1);
    std::vector<bool> left;
    for (const std::size_t i : columns) {
      rows[0].push_back(t.columns[i].name);
      left.push_back(t.columns[i].align != Align::numbers);
    }
    for (const Row& r : t.rows) {
      auto& row = rows.emplace_back();
      if (!r.left_out.empty()) {
        row.assign(columns.size(), "");
        row.front() = r.cells[columns.front()].shown;
        row.back() = "left out: " + r.left_out;
        continue;
      }
      for (const std::size_t i : columns) row.push_back(cell(r.cells[i]));
    }
    return markdown_table(rows, left);
  }

  static std::string cell(const Cell& c) { return c.tone ? fmt::format("{} {}", mark_of(*c.tone), c.shown) : c.shown; }

  static std::string marks(const Marks& m) {
    std::string lines;
    for (const Mark& item : m.items) lines += fmt::format("- {} {}\n", mark_of(item.tone), printable(item.sentence));
    return lines;
  }

  static std::string facts(const Facts& f) {
    std::vector<std::vector<std::string>> rows{{f.heading, ""}};
    for (const auto& [name, value] : f.items) rows.push_back({name, value});
    return markdown_table(rows);
  }

  std::string all_;
};

}  // namespace

std::string as_markdown(const Document& document) {
  Markdown markdown;
  markdown.tell(document);
  return std::move(markdown).all();
}

}  // namespace pkv::show
