// A config.json, and an index, as text: whatever it is, every read of every key gives a value or a load error, and what
// was read is no longer listed as unread.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "files/hf/common_keys.h"
#include "files/hf/config.h"
#include "files/hf/index.h"

namespace {

void attempt(const auto& body) {
  try {
    body();
  } catch (const pkv::Error& error) {
    if (error.kind() != pkv::Error::Kind::load) std::abort();
  }
}

void read_all(const pkv::hf::Config& config) {
  attempt([&] { pkv::hf::accept_common_keys(config); });
  config.unread();
  for (const auto& member : config.json().members()) {
    const auto& key = member.first;
    attempt([&] { config.integer({key}, -1000, 1000); });
    attempt([&] { config.integer_or({key, "a"}, 0, INT64_MIN, INT64_MAX); });
    attempt([&] { config.number_or_none({key}, 1); });
    attempt([&] { config.number({key}); });
    attempt([&] { config.flag({key}); });
    attempt([&] { config.text({key}); });
    attempt([&] { config.integers({key}, 0, INT64_MAX); });
    attempt([&] { config.texts({key}); });
    attempt([&] { config.unsupported(key, "less"); });
    attempt([&] { read_all(config.child(key)); });
  }
  if (!config.unread().empty()) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  attempt([&] { read_all(pkv::hf::Config::parse(text, "f")); });
  attempt([&] { pkv::hf::parse_index(text, "f"); });
  return 0;
}
