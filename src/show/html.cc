// HTML: the answer first, with all that there is to say, and charts. The parts of a document are folded.
#include <fmt/format.h>

#include "show/columns.h"
#include "show/html/pieces.h"
#include "show/visit.h"

namespace pkv::show {
namespace {

using html::Html;
using html::text;
using Items = std::vector<std::pair<std::string, Html>>;

std::string id_of(std::size_t part) { return fmt::format("part-{}", part + 1); }

Html sentence(std::string_view words) { return text(capital(std::string(words)) + (words.ends_with('.') ? "" : ".")); }

Html lead_of(const Document& d) {
  if (!d.lead.empty()) return text(d.lead);
  std::vector<std::string> about = d.about;
  about.push_back(d.extent);
  const Html line = text(joined(about, " · "));
  return d.sample.empty() ? line : line + Html{"<br>"} + text(quoted(d.sample, 400));
}

// What the answer's sentence says already is not said again.
Html entry(const Entry& e, const std::string& said) {
  if (e.aside) return html::paragraph(html::muted(capital(e.statement) + "."));
  const Html label = html::strong(capital(e.label) + ": ");
  if (e.name.empty()) return html::paragraph(label + text(e.statement));
  const bool again = said.find(e.statement) != std::string::npos;
  Items facts;
  for (const auto& [name, value] : e.facts) facts.emplace_back(capital(name), text(value));
  return html::paragraph(label + html::code(e.name) + text(e.certain ? "" : " (not certain)") +
                         (again ? Html{} : text(". ") + sentence(e.statement))) +
         html::facts(facts);
}

Html answer(const Answer& a) {
  const Conclusion& c = a.conclusion;
  Html inside = html::paragraph(sentence(c.sentence));
  for (const Entry& e : a.entries) {
    if (is_for(browser, e.readers)) inside += entry(e, c.sentence);
  }
  Html all = html::verdict(c.tone, a.headline, inside);
  for (const std::string& reason : a.reasons) all += html::paragraph(text(reason));
  return all;
}

Html cell(const Cell& c) {
  const std::string words = c.tone ? fmt::format("{} {}", mark_of(*c.tone), c.shown) : c.shown;
  return c.part ? html::link(id_of(*c.part), words) : c.tone ? html::toned(*c.tone, words) : text(words);
}

// What was left out says why in its last column.
Html table(const Table& t) {
  const std::vector<std::size_t> columns = columns_for(browser, t);
  html::Table all{.caption = t.caption};
  for (const std::size_t i : columns) {
    all.head.push_back(t.columns[i].name);
    all.words.push_back(t.columns[i].align != Align::numbers);
  }
  for (const Row& r : t.rows) {
    auto& row = all.rows.emplace_back();
    for (const std::size_t i : columns) row.push_back(r.left_out.empty() ? cell(r.cells[i]) : Html{});
    if (r.left_out.empty()) continue;
    row.front() = cell(r.cells[columns.front()]);
    row.back() = html::muted("left out: " + r.left_out);
  }
  return html::table(all);
}

Html marks(const Marks& m) {
  std::vector<std::pair<Tone, Html>> items;
  for (const Mark& item : m.items) items.emplace_back(item.tone, sentence(item.sentence));
  return html::marks(items);
}

Html conclusion(const Conclusion& c) {
  const Html name = c.name.empty() ? Html{} : html::strong(c.name + ": ");
  const Html more = c.more.empty() ? Html{} : text(" ") + sentence(c.more);
  return html::marks({{c.tone, name + sentence(c.sentence) + more}});
}

Html facts(const Facts& f) {
  Items items;
  for (const auto& [name, value] : f.items) items.emplace_back(name, text(value));
  return (f.heading.empty() ? Html{} : html::subheading(f.heading)) + html::facts(items);
}

// `level`: of its headings.
Html blocks(const std::vector<Block>& all, int level) {
  Html told;
  for (const Block& b : all) {
    if (!is_for(browser, b.readers)) continue;
    told += std::visit(
        Overloaded{
            [&](const Table& t) { return table(t); }, [&](const Paragraph& p) { return html::paragraph(text(p.text)); },
            [&](const Marks& m) { return marks(m); }, [&](const Facts& f) { return facts(f); },
            [&](const Conclusion& c) { return conclusion(c); },
            [&](const Heading& h) { return h.level + level > 2 ? html::subheading(h.text) : html::heading(h.text); },
            [&](const Chart& c) {
              return html::chart({.title = c.title, .caption = text(c.caption), .specification = c.specification});
            },
            [&](const Fold& f) { return html::details(f.summary, blocks(f.inside, level)); }},
        b.content);
  }
  return told;
}

Html body(const Document& d, int level) {
  Html all = blocks(d.body, level);
  for (const std::string& note : d.notes) all += html::paragraph(text(note));
  return all;
}

Html part(const Document& d, std::size_t index) {
  Html all = html::heading(d.name, id_of(index)) + html::paragraph(lead_of(d));
  if (d.answer) all += answer(*d.answer);
  return all + (d.folded.empty() ? body(d, 2) : html::details(d.folded, body(d, 2)));
}

}  // namespace

std::string as_html(const Document& d) {
  Html all;
  if (d.answer) all += answer(*d.answer);
  all += blocks(d.overview, 1);
  if (!d.question.empty()) all += html::paragraph(text(d.question));
  all += body(d, 1);
  for (std::size_t i = 0; i < d.parts.size(); ++i) all += part(d.parts[i], i);
  for (const Missing& m : d.missing) all += html::heading(m.heading) + html::preformatted(m.message);
  all += html::origin(d.environment, d.command);
  return html::file({.title = d.title.empty() ? d.name : d.title, .lead = lead_of(d), .body = all});
}

}  // namespace pkv::show
