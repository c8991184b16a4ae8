#include "files/hub/settings.h"

#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <initializer_list>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "files/http/headers.h"

namespace pkv::hub {
namespace {

namespace fs = std::filesystem;

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool is_true(std::string value) {
  std::ranges::transform(value, value.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  return value == "1" || value == "ON" || value == "YES" || value == "TRUE";
}

fs::path home() {
  if (const std::string set = variable("HOME"); !set.empty()) return set;
  const struct passwd* user = ::getpwuid(::getuid());
  return user == nullptr || user->pw_dir == nullptr ? "/" : user->pw_dir;
}

// "~/x" and "$NAME/x" and "${NAME}/x" as Python's expanduser and expandvars read them: a name that is not set stays.
fs::path expanded(std::string path) {
  if (path == "~" || path.starts_with("~/")) path.replace(0, 1, home().string());
  for (std::size_t at = path.find('$'); at != path.npos; at = path.find('$', at)) {
    const bool braces = path.compare(at + 1, 1, "{") == 0;
    const std::size_t begin = at + 1 + (braces ? 1 : 0);
    const auto word = [](unsigned char c) { return std::isalnum(c) != 0 || c == '_'; };
    const auto end = static_cast<std::size_t>(
        std::find_if_not(path.begin() + static_cast<std::ptrdiff_t>(begin), path.end(), word) - path.begin());
    const char* value = std::getenv(path.substr(begin, end - begin).c_str());
    const bool closed = !braces || path.compare(end, 1, "}") == 0;
    if (value == nullptr || end == begin || !closed) {
      ++at;
      continue;
    }
    path.replace(at, end + (braces ? 1 : 0) - at, value);
    at += std::string_view(value).size();
  }
  return path;
}

std::string first_of(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (std::string value = variable(name); !value.empty()) return value;
  }
  return {};
}

fs::path hugging_face_home() {
  if (const std::string set = variable("HF_HOME"); !set.empty()) return expanded(set);
  const std::string xdg = variable("XDG_CACHE_HOME");
  return (xdg.empty() ? home() / ".cache" : expanded(xdg)) / "huggingface";
}

std::chrono::milliseconds seconds(const char* name, std::chrono::milliseconds fallback) {
  const std::string value = variable(name);
  if (value.empty()) return fallback;
  int number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number < 0 || number > 86'400) {
    fail_usage({.what = "is not a time limit",
                .where = name,
                .expected = "whole seconds, at most 86400",
                .found = quote(value)});
  }
  return number == 0 ? fallback : std::chrono::seconds(number);  // as huggingface_hub reads 0
}

std::string checked_endpoint(std::string endpoint) {
  while (endpoint.ends_with('/')) endpoint.pop_back();
  const std::string_view rest = std::string_view(endpoint).substr(std::min(endpoint.find("://"), endpoint.size()));
  const bool odd = std::ranges::any_of(endpoint, [](unsigned char c) { return c <= ' ' || c >= 0x7f || c == '@'; });
  if (odd || rest.size() < 4 || !(endpoint.starts_with("https://") || endpoint.starts_with("http://"))) {
    fail_usage({.what = "is not the address of a Hub",
                .where = "HF_ENDPOINT",
                .expected = "https://host, without a user's name",
                .found = quote(endpoint)});
  }
  return endpoint;
}

std::string token_of(const fs::path& home_folder) {
  if (is_true(variable("HF_HUB_DISABLE_IMPLICIT_TOKEN"))) return {};
  std::string where = "HF_TOKEN";
  std::string token(http::trimmed(first_of({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"})));
  if (token.empty()) {
    const std::string set = variable("HF_TOKEN_PATH");
    const fs::path file = set.empty() ? home_folder / "token" : expanded(set);
    std::error_code error;
    if (!fs::is_regular_file(file, error)) return {};
    where = file.string();
    token = http::trimmed(read_file(file, 1 << 16));
  }
  // It becomes a header: a line break in it would become another one. It is a secret: the error does not show it.
  if (std::ranges::any_of(token, [](unsigned char c) { return c <= ' ' || c >= 0x7f; })) {
    fail_usage({.what = "is not a token of the Hugging Face Hub",
                .where = where,
                .expected = "letters and digits, such as hf_..., on one line"});
  }
  return token;
}

}  // namespace

Settings settings_from_environment() {
  Settings settings;
  const fs::path folder = hugging_face_home();
  const std::string cache = first_of({"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"});
  settings.cache = cache.empty() ? folder / "hub" : expanded(cache);
  if (const std::string set = variable("HF_ENDPOINT"); !set.empty()) settings.endpoint = checked_endpoint(set);
  settings.token = token_of(folder);
  settings.certificates = expanded(first_of({"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}));
  settings.offline = is_true(first_of({"HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"}));
  settings.symlinks = !is_true(variable("HF_HUB_DISABLE_SYMLINKS"));
  settings.etag_timeout = seconds("HF_HUB_ETAG_TIMEOUT", settings.etag_timeout);
  settings.download_timeout = seconds("HF_HUB_DOWNLOAD_TIMEOUT", settings.download_timeout);
  return settings;
}

}  // namespace pkv::hub
