#include "checker/causes/explanation.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <string_view>
#include <utility>

#include "show/columns.h"

namespace pkv::check {
namespace {

bool is_certain(const Explanation& e) { return e.confirmed; }

void put_in_place(std::string& text, std::string_view of, const std::string& in) {
  if (const std::size_t at = text.find(of); at != text.npos) text.replace(at, of.size(), in);
}

// "only the last N keys are seen" with its number, where that is known. N is a word of its own.
std::string with_number(std::string statement, std::int64_t count) {
  if (count == 1 && statement.find(" N keys") != statement.npos) {
    put_in_place(statement, " N keys", " key");
    put_in_place(statement, " are ", " is ");
  } else if (count > 0) {
    const bool last = statement.ends_with(" N");
    put_in_place(statement, last ? " N" : " N ", fmt::format(" {}{}", count, last ? "" : " "));
  }
  return statement;
}

// Unless it is there already.
void append(std::string& text, std::string_view more, std::string_view between) {
  if (text.find(more) != std::string::npos) return;
  if (!text.empty()) text += between;
  text += more;
}

}  // namespace

Explanation explanation_of(std::vector<Supposition> what) {
  Explanation e;
  for (const Supposition& s : what) {
    const Cause& c = cause_of(s.cause);
    const bool more = !e.cause.empty();
    e.cause += (more ? " + " : "") + std::string(c.name);
    e.statement += (more ? "; besides, " : "") + with_number(std::string(c.statement), s.count);
    append(e.look_at, c.look_at, "; ");
    append(e.reference, c.reference, "; ");
  }
  e.what = std::move(what);
  return e;
}

Explanation found_by(CauseId id, std::string evidence) {
  Explanation e = explanation_of({{id}});
  e.evidence = std::move(evidence);
  e.confirmed = true;
  e.explained = 1;
  return e;
}

bool confirmed(const Causes& all, CauseId id) {
  return std::any_of(all.causes.begin(), all.causes.end(),
                     [&](const Explanation& e) { return e.confirmed && e.is(id); });
}

void add_found(Causes& all, CauseId id, std::string evidence) {
  if (!confirmed(all, id)) all.causes.push_back(found_by(id, std::move(evidence)));
}

void keep_confirmed(Causes& all) {
  if (std::none_of(all.causes.begin(), all.causes.end(), is_certain)) return;
  std::erase_if(all.causes, std::not_fn(is_certain));
}

std::string unknown_cause(const Causes& all) {
  return fmt::format("unknown: none of {} tried explains half of the difference",
                     show::counted(all.causes_tried, "cause"));
}

std::string cost_of_explaining(const Causes& all) {
  if (all.explaining_feeds == 0) return show::counted(all.causes_tried, "cause") + " tried, as recorded";
  return fmt::format("{} tried with {} of {}", show::counted(all.causes_tried, "cause"),
                     show::counted(all.explaining_feeds, "feed"), show::counted(all.explaining_tokens, "token"));
}

}  // namespace pkv::check
