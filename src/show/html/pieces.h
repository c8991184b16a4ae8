// HTML files that hold all that they show: for reading in a browser without a network, in light and dark, on a
// telephone and on paper. Pieces of text are escaped, pieces of HTML are joined, file() makes the file:
//
//   html::Html body = html::verdict(Tone::good, "identical", html::paragraph(html::text(sentence)));
//   body += html::heading("Experiments") + html::table({.head = {"name", "runs"}, .rows = rows});
//   write_file("report.html", html::file({.title = "tiny-gpt2", .body = body}));
//
// Charts are Vega specifications. Where the browser runs no scripts, or pkv was built without Vega, a sentence stands
// in place of each. Nothing here writes files.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "show/environment.h"
#include "show/tone.h"

namespace pkv::show::html {

// Markup that is safe to put into a page.
struct Html {
  std::string markup;

  Html& operator+=(const Html& other) {
    markup += other.markup;
    return *this;
  }
  friend Html operator+(Html a, const Html& b) { return a += b; }
};

// Words. Text may be any bytes: what is not UTF-8, and what no page may hold, is replaced.
std::string escaped(std::string_view text);  // for elements and for attributes in double quotes; of XML, too
Html text(std::string_view text);
Html strong(std::string_view text);
Html code(std::string_view text);
Html muted(std::string_view text);
Html toned(Tone tone, std::string_view text);
Html link(std::string_view id, std::string_view text);  // to a heading of the same page

// Blocks.
Html heading(std::string_view text, std::string_view id = {});  // `id`: for link()
Html subheading(std::string_view text);
Html paragraph(const Html& words);
Html list(const std::vector<Html>& items);
Html marks(const std::vector<std::pair<Tone, Html>>& items);  // a list with ✓, ✗ and ?
Html facts(const std::vector<std::pair<std::string, Html>>& items);
Html preformatted(std::string_view text);
Html details(std::string_view summary, const Html& inside);

// The first thing to read: a headline and what belongs to it, in the tone's colour.
Html verdict(Tone tone, std::string_view headline, const Html& inside);

// The columns that `words` says (beyond its end: none) hold words and stand to the left, all others numbers and stand
// to the right. A table that is wider than the file scrolls by itself.
struct Table {
  std::vector<std::string> head;
  std::vector<std::vector<Html>> rows;
  std::string caption = {};
  std::vector<bool> words = {};
};
Html table(const Table& table);

// `specification`: JSON of a Vega view. It says its height, no width: charts are as wide as the page lets them, at most
// `"usermeta": {"widest": pixels}`. What depends on the width belongs into "update", not "enter". Colours
// are the page's and follow light and dark: "var(--ink)", --muted, --rule, --paper, --raised; --first, --second,
// --third for series; --good, --bad, --unsure. `caption` tells what is to be seen; it stands there without scripts too.
struct Chart {
  std::string title;
  Html caption;
  std::string specification;
};
Html chart(const Chart& chart);
bool draws_charts();  // built with Vega; else chart() says that there is none

// Where it was computed, and the command that repeats it: a section of its own.
Html origin(const Environment& environment, std::string_view command);

struct File {
  std::string title;
  Html lead = {};  // a line or two under the title
  Html body;
};
std::string file(const File& file);

}  // namespace pkv::show::html
