#include "show/html/pieces.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/utf8.h"
#include "show/html/parts.h"

namespace pkv::show::html {
namespace {

Html element(std::string_view name, std::string_view attributes, const Html& inside) {
  return {fmt::format("<{}{}{}>{}</{}>", name, attributes.empty() ? "" : " ", attributes, inside.markup, name)};
}

std::string_view name_of(Tone tone) { return tone == Tone::good ? "good" : tone == Tone::bad ? "bad" : "unsure"; }

Html mark(Tone tone) { return element("span", fmt::format("class=\"mark {}\"", name_of(tone)), text(mark_of(tone))); }

// Control characters and U+FFFE and U+FFFF, which no page may hold, are replaced as what is not UTF-8 is.
std::string mended(std::string_view text) {
  std::string bytes(text);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto c = static_cast<unsigned char>(bytes[i]);
    const std::string_view three(bytes.data() + i, std::min<std::size_t>(3, bytes.size() - i));
    const bool control = (c < ' ' && c != '\n' && c != '\t') || c == 0x7f;
    if (control || three == "\xef\xbf\xbe" || three == "\xef\xbf\xbf") bytes[i] = '\xff';
  }
  std::string valid;
  Mender mender;
  mender.push(bytes, valid);
  mender.finish(valid);
  return valid;
}

// JSON may hold "</script>" only within its strings, where \u003c means the same.
std::string inert(std::string_view json) {
  std::string safe;
  for (const char c : json) safe += c == '<' ? "\\u003c" : std::string(1, c);
  return safe;
}

Html line(const char* block, const std::string& cells) { return {fmt::format("<{}>{}</{}>\n", block, cells, block)}; }

// What draws the charts, with its licence.
Html drawing() {
  const Html notice =
      element("details", "class=\"licence\"",
              element("summary", "", text("Charts are drawn by Vega; its licence")) + preformatted(licence()));
  return {fmt::format("<footer>\n{}\n</footer>\n<script>\n{}</script>\n", notice.markup, script())};
}

constexpr std::size_t kShort = 24;  // letters of a cell that has no need to be broken

// About: of what is between tags.
std::size_t columns_of_text(const Html& html) {
  std::size_t count = 0;
  bool tag = false;
  for (const char c : html.markup) {
    if (c == '<') tag = true;
    if (!tag && (c & 0xC0) != 0x80) ++count;
    if (c == '>') tag = false;
  }
  return count;
}

// A table that is wider than its box has its rows stand as lists of what they hold. Without scripts it is scrolled.
constexpr const char* kFitTables = R"js(<script>
(() => {
"use strict";
const boxes = [...document.querySelectorAll(".scroll")];
const fit = (box) => {
  const table = box.firstElementChild;
  table.classList.remove("stacked");
  if (table.scrollWidth > box.clientWidth && box.clientWidth > 0) table.classList.add("stacked");
};
const widths = new Map();
const watch = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (widths.get(target) === target.clientWidth) continue;
    widths.set(target, target.clientWidth);
    fit(target);
  }
});
for (const box of boxes) fit(box), watch.observe(box);
})();
</script>
)js";

bool holds_words(const Table& table, std::size_t column) { return column < table.words.size() && table.words[column]; }

}  // namespace

std::string escaped(std::string_view text) {
  std::string safe;
  for (const char c : mended(text)) {
    switch (c) {
      case '&':
        safe += "&amp;";
        break;
      case '<':
        safe += "&lt;";
        break;
      case '>':
        safe += "&gt;";
        break;
      case '"':
        safe += "&quot;";
        break;
      case '\'':
        safe += "&#39;";
        break;
      default:
        safe += c;
    }
  }
  return safe;
}

Html text(std::string_view text) { return {escaped(text)}; }
Html strong(std::string_view words) { return element("strong", "", text(words)); }
Html code(std::string_view words) { return element("code", "", text(words)); }
Html muted(std::string_view words) { return element("span", "class=\"muted\"", text(words)); }
Html toned(Tone tone, std::string_view words) {
  return element("span", fmt::format("class=\"{}\"", name_of(tone)), text(words));
}

Html link(std::string_view id, std::string_view words) {
  return element("a", fmt::format("href=\"#{}\"", escaped(id)), text(words));
}

Html heading(std::string_view words, std::string_view id) {
  return element("h2", id.empty() ? "" : fmt::format("id=\"{}\"", escaped(id)), text(words)) + Html{"\n"};
}
Html subheading(std::string_view words) { return element("h3", "", text(words)) + Html{"\n"}; }
Html paragraph(const Html& words) { return element("p", "", words) + Html{"\n"}; }
Html preformatted(std::string_view words) { return element("pre", "", text(words)) + Html{"\n"}; }

Html list(const std::vector<Html>& items) {
  Html all;
  for (const Html& item : items) all += element("li", "", item);
  return element("ul", "", all) + Html{"\n"};
}

Html marks(const std::vector<std::pair<Tone, Html>>& items) {
  Html all;
  for (const auto& [tone, words] : items) all += element("li", "", mark(tone) + element("span", "", words));
  return element("ul", "class=\"marks\"", all) + Html{"\n"};
}

Html facts(const std::vector<std::pair<std::string, Html>>& items) {
  Html all;
  for (const auto& [name, words] : items) all += element("dt", "", text(name)) + element("dd", "", words);
  return element("dl", "", all) + Html{"\n"};
}

Html details(std::string_view summary, const Html& inside) {
  return element("details", "", element("summary", "", text(summary)) + Html{"\n"} + inside) + Html{"\n"};
}

Html verdict(Tone tone, std::string_view headline, const Html& inside) {
  const Html first = element("p", fmt::format("class=\"headline {}\"", name_of(tone)),
                             text(fmt::format("{} {}", mark_of(tone), headline)));
  return element("section", fmt::format("class=\"verdict {}\"", name_of(tone)), first + Html{"\n"} + inside) +
         Html{"\n"};
}

Html table(const Table& table) {
  const auto cell = [&](std::size_t column, const char* name, std::string attributes, const Html& inside) {
    if (holds_words(table, column)) {
      const bool is_long = columns_of_text(inside) > kShort;
      attributes += fmt::format("{}class=\"words{}\"", attributes.empty() ? "" : " ", is_long ? " long" : "");
    }
    return element(name, attributes, inside).markup;
  };
  std::string head, body;
  for (std::size_t i = 0; i < table.head.size(); ++i) head += cell(i, "th", "scope=\"col\"", text(table.head[i]));
  for (const auto& row : table.rows) {
    std::string cells;
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string heading = i < table.head.size() ? escaped(table.head[i]) : "";
      cells += i == 0 ? cell(i, "th", "scope=\"row\"", row[i])
                      : cell(i, "td", fmt::format("data-of=\"{}\"", heading), row[i]);
    }
    body += line("tr", cells).markup;
  }
  const Html all = line("thead", line("tr", head).markup) + line("tbody", body);
  Html caption;
  if (!table.caption.empty()) caption = element("p", "class=\"caption\"", text(table.caption)) + Html{"\n"};
  return caption + element("div", "class=\"scroll\"", element("table", "", all)) + Html{"\n"};
}

bool draws_charts() { return !script().empty(); }

Html chart(const Chart& chart) {
  Html inside = element("figcaption", "", strong(chart.title) + Html{"<br>"} + chart.caption);
  if (!draws_charts()) {
    inside += element("p", "class=\"unseen\"",
                      text("A chart would be here; this pkv was built without Vega, which draws it."));
    return element("figure", "", inside) + Html{"\n"};
  }
  inside += Html{"<noscript><p class=\"unseen\">A chart would be here; this browser runs no scripts.</p></noscript>\n"};
  inside += element("div", fmt::format("class=\"drawing\" role=\"img\" aria-label=\"{}\"", escaped(chart.title)), {});
  inside += element("script", "type=\"application/json\"", {inert(chart.specification)});
  return element("figure", "class=\"chart\"", inside) + Html{"\n"};
}

Html origin(const Environment& environment, std::string_view command) {
  Html all = heading("Where this was computed");
  std::vector<std::pair<std::string, Html>> known;
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) known.emplace_back(name, text(value));
  };
  add("Program", environment.program);
  add("Processor", environment.processor);
  add("System", environment.system);
  add("Compiler", environment.compiler);
  add("Time", environment.time);
  if (!known.empty()) all += facts(known);
  if (!command.empty()) all += paragraph(text("This repeats it:")) + preformatted(command);
  return known.empty() && command.empty() ? Html{} : all;
}

std::string file(const File& file) {
  const Html title = text(file.title);
  // The policy keeps everything out that is not in the file.
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
      "script-src 'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{0}</title>\n<style>\n{1}</style>\n</head>\n<body>\n<header>\n<h1>{0}</h1>\n{2}</header>\n"
      "<main>\n{3}</main>\n{4}{5}</body>\n</html>\n",
      title.markup, style(), file.lead.markup.empty() ? "" : "<p class=\"lead\">" + file.lead.markup + "</p>\n",
      file.body.markup, kFitTables, draws_charts() ? drawing().markup : "");
}

}  // namespace pkv::show::html
