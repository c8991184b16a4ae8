// What went wrong with a Hub, in sentences.
#include <fmt/format.h>

#include "base/json.h"
#include "files/hub/client.h"

namespace pkv::hub {
namespace {

constexpr std::string_view kTokens = "https://huggingface.co/settings/tokens";

std::string place(const Id& id, std::string_view file) {
  return file.empty() ? id.text() : fmt::format("{}: {}", id.text(), file);
}

[[noreturn]] void fail_failure(const Id& id, std::string_view file, const http::Response& response) {
  using enum http::Response::Failure;
  const std::string& host = response.host;
  const std::string where = place(id, file);
  switch (response.failure) {
    case stopped:
      throw Stopped{};
    case certificate:
      fail_load({.what = fmt::format("cannot trust {}: its certificate does not prove who it is", host),
                 .where = where,
                 .found = response.message,
                 .hint = "SSL_CERT_FILE set to a file with your network's certificate authority"});
    case hostile:
      fail_load(
          {.what = fmt::format("{} does not answer as a Hub does", host), .where = where, .found = response.message});
    default:
      throw Unreachable({.what = fmt::format("cannot reach {}", host),
                         .where = where,
                         .found = response.message,
                         .hint = "again when there is a network; a proxy is set with https_proxy, a mirror with "
                                 "HF_ENDPOINT"});
  }
}

[[noreturn]] void fail_gated(const Settings& settings, const Id& id) {
  const bool token = !settings.token.empty();
  fail_load({.what = "access to this model is gated",
             .where = id.text(),
             .found = token ? "a token that has no access to it" : "no token",
             .hint = fmt::format("accept its terms at {}/{}{}", settings.endpoint, id.repo,
                                 token ? "" : fmt::format(", then set HF_TOKEN to a token from {}", kTokens))});
}

[[noreturn]] void fail_absent(const Settings& settings, const Id& id) {
  fail_load({.what = fmt::format("{} has no such model, or it is private", http::host_of(settings.endpoint)),
             .where = id.text(),
             .hint = settings.token.empty()
                         ? fmt::format("check the name; for a private model set HF_TOKEN to a token from {}", kTokens)
                         : "check the name, and that your token may read it"});
}

[[noreturn]] void fail_limited(const Settings& settings, const Id& id, const http::Response& response) {
  const std::string when = response.retry_after ? fmt::format("again in {} s", *response.retry_after) : "again later";
  throw Unreachable(
      {.what = fmt::format("{} limits the rate of requests, and it is reached", http::host_of(settings.endpoint)),
       .where = id.text(),
       .hint = settings.token.empty() ? when + "; with a token (HF_TOKEN) the limit is higher" : when});
}

}  // namespace

bool worth_another_try(const http::Response& response) {
  using enum http::Response::Failure;
  if (!response.answered()) return response.failure == timeout || response.failure == cut;
  const int s = response.status;
  return s == 408 || s == 429 || s == 500 || s == 502 || s == 503 || s == 504;
}

void fail_offline(const Id& id) {
  throw Unreachable({.what = "HF_HUB_OFFLINE forbids asking the Hub",
                     .where = id.text(),
                     .found = "nothing of that name in the cache, or not all of it",
                     .hint = "HF_HUB_OFFLINE=0, once, with a network"});
}

void fail_response(const Settings& settings, const Id& id, std::string_view file, const http::Response& response) {
  if (!response.answered()) fail_failure(id, file, response);
  if (response.good()) {
    throw Unreachable({.what = fmt::format("{} ends its answers before the file ends", response.host),
                       .where = place(id, file),
                       .hint = "again later; what has arrived is kept"});
  }
  const std::string_view code = response.headers.get("x-error-code"), words = response.headers.get("x-error-message");
  const int status = response.status;
  if (code == "GatedRepo") fail_gated(settings, id);
  if (code == "RepoNotFound") fail_absent(settings, id);
  if (code == "RevisionNotFound") {
    fail_load({.what = fmt::format("the model has no revision {}", quote(id.revision)),
               .where = id.repo,
               .hint = fmt::format("a branch, a tag or a commit: {}/{}/commits/main", settings.endpoint, id.repo)});
  }
  if (code == "EntryNotFound") {
    fail_load({.what = "the model has no such file", .where = place(id, file)});
  }
  if (status == 401 && words == "Invalid credentials in Authorization header") {
    fail_load({.what = fmt::format("{} does not know this token", http::host_of(settings.endpoint)),
               .where = id.text(),
               .hint = fmt::format("HF_TOKEN or $HF_HOME/token with a token from {}", kTokens)});
  }
  if (status == 401 || (status == 404 && file.empty())) fail_absent(settings, id);
  if (status == 404) fail_load({.what = "the model has no such file", .where = place(id, file)});
  if (status == 429) fail_limited(settings, id, response);
  const std::string found = fmt::format("HTTP status {}{}", status, words.empty() ? "" : ": " + quote(words));
  if (status == 403) {
    fail_load({.what = fmt::format("{} forbids access to this model", http::host_of(settings.endpoint)),
               .where = place(id, file),
               .found = found,
               .hint = "a token with the right to read it: HF_TOKEN"});
  }
  if (status >= 500 || status == 408) {
    throw Unreachable({.what = fmt::format("{} does not work at the moment", http::host_of(settings.endpoint)),
                       .where = place(id, file),
                       .found = found,
                       .hint = "again later"});
  }
  fail_load({.what = fmt::format("{} does not answer as a Hub does", http::host_of(settings.endpoint)),
             .where = place(id, file),
             .found = found});
}

}  // namespace pkv::hub
