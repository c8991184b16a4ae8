#include "bench/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <iterator>

#include "base/error.h"
#include "engine/kernels/cpu/instruction_set.h"

namespace pkv::bench {
namespace {

struct Name {
  std::string_view name;
  bool has_value = true;
};

// All names of all programs.
constexpr Name kNames[] = {
    {"--clock"},           {"--depth"},        {"--dtype"},         {"--load-in"}, {"--isa"},
    {"--shape"},           {"--backend"},      {"--layers"},        {"--batch"},   {"--model"},
    {"--no-check", false}, {"--by-op", false}, {"--copied", false}, {"--only"},    {"--output"},
    {"--past-dtype"},      {"--prefill"},      {"--rounds"},        {"--seconds"}, {"--threads"},
};

// Whether the usage contains the name, and not only as the beginning of a longer one.
bool knows(std::string_view usage, std::string_view name) {
  for (std::size_t at = usage.find(name); at != std::string_view::npos; at = usage.find(name, at + 1)) {
    const std::size_t end = at + name.size();
    if (end == usage.size() || usage[end] == ' ' || usage[end] == ']') return true;
  }
  return false;
}

}  // namespace

Options::Options(std::string_view usage, int argc, char** argv)
    : program_(usage.substr(0, usage.find_first_of(" \n"))) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--help" || name == "-h") {
      fmt::print("usage: {}", usage);
      std::exit(0);
    }
    const Name* const found =
        std::find_if(std::begin(kNames), std::end(kNames), [&](const Name& n) { return n.name == name; });
    if (found == std::end(kNames)) refuse(fmt::format("no option '{}'; --help lists them", name));
    if (found->has_value && i + 1 == argc) refuse(fmt::format("{} needs a value", name));
    const std::string_view value = found->has_value ? argv[++i] : "";
    if (knows(usage, name)) {
      given_.emplace_back(name, value);
    } else {
      fmt::print(stderr, "{}: {} is for other benchmarks and changes nothing here\n", program_, name);
    }
  }
}

void Options::refuse(const std::string& sentence) const {
  fmt::print(stderr, "{}: {}\n", program_, sentence);
  std::exit(2);
}

std::optional<std::string_view> Options::text(std::string_view name) const {
  std::optional<std::string_view> value;
  for (const auto& [given, with] : given_) {
    if (given == name) value = with;
  }
  return value;
}

std::int64_t Options::parsed(std::string_view name, std::string_view value, std::int64_t least,
                             std::int64_t most) const {
  std::int64_t n = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), n);
  if (error != std::errc() || end != value.data() + value.size() || n < least || n > most) {
    refuse(fmt::format("{} needs a whole number from {} to {}, not '{}'", name, least, most, value));
  }
  return n;
}

std::int64_t Options::number(std::string_view name, std::int64_t otherwise, std::int64_t least,
                             std::int64_t most) const {
  const auto value = text(name);
  return value ? parsed(name, *value, least, most) : otherwise;
}

double Options::seconds(std::string_view name, double otherwise) const {
  const auto value = text(name);
  if (!value) return otherwise;
  double n = 0;
  const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), n);
  if (error != std::errc() || end != value->data() + value->size() || !std::isfinite(n) || n < 0) {
    refuse(fmt::format("{} needs a number of seconds, not '{}'", name, *value));
  }
  return n;
}

std::vector<std::int64_t> Options::numbers(std::string_view name, std::vector<std::int64_t> otherwise,
                                           std::int64_t least) const {
  const auto value = text(name);
  if (!value) return otherwise;
  std::vector<std::int64_t> all;
  for (std::size_t at = 0; at < value->size();) {
    const std::size_t end = std::min(value->find(',', at), value->size());
    all.push_back(parsed(name, value->substr(at, end - at), least, kMost));
    at = end + 1;
  }
  return all;
}

bool Options::json() const {
  const std::string_view value = text("--output").value_or("markdown");
  if (value != "json" && value != "markdown") refuse(fmt::format("--output is json or markdown, not '{}'", value));
  return value == "json";
}

void Options::choose_instruction_set() const {
  try {
    kernels::cpu::choose_instruction_set(text("--isa").value_or(""), "--isa");
  } catch (const Error& e) {
    refuse(e.what());
  }
}

}  // namespace pkv::bench
