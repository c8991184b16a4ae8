#include "servers/exchange.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/clock.h"
#include "base/error.h"
#include "base/utf8.h"

namespace pkv::servers {
namespace {

constexpr std::size_t kMostBytes = 64 << 20;  // of an answer: the whole vocabulary of 500,000 tokens fits
constexpr std::size_t kMostMessage = 300;
constexpr std::size_t kMostArrivals = 100'000;
using Failure = http::Response::Failure;

std::string cut(std::string_view text) {
  std::string shown = printable(text.substr(0, std::min(text.find('\n'), kMostMessage)));
  return shown.size() > kMostMessage ? shown.substr(0, kMostMessage) : shown;
}

std::optional<Json> json_or_none(std::string_view body, const std::string& where) {
  try {
    return parse_json(body, where);
  } catch (const Error&) {
    return std::nullopt;
  }
}

bool worth_another_try(const http::Response& r) {
  if (!r.answered()) return r.failure == Failure::cut || r.failure == Failure::timeout;
  return r.status == 429 || r.status == 502 || r.status == 503 || r.status == 504;
}

// The address without /v1 and slashes at its end, and without "user:password@", which is given apart.
std::pair<std::string, std::string> root_of(std::string url) {
  const std::string given = url;
  if (url.find("://") == url.npos) url = "http://" + url;
  if (http::origin_of(url).empty() || url.find_first_of("?#") != url.npos) {
    fail_usage({.what = "not the address of a server",
                .where = "--server",
                .expected = "http://HOST:PORT or https://HOST",
                .found = given.find('@') == given.npos ? quote(given) : "one with a name or password"});
  }
  std::string credentials;
  const auto host = url.find("://") + 3;
  const auto at = url.substr(0, url.find('/', host)).rfind('@');
  if (at != url.npos && at > host) {
    credentials = url.substr(host, at - host);
    url.erase(host, at + 1 - host);
  }
  while (url.ends_with('/')) url.pop_back();
  if (url.ends_with("/v1")) url.resize(url.size() - 3);
  return {url, credentials};
}

}  // namespace

std::string message_of(const std::optional<Json>& json, std::string_view body) {
  if (!json) return cut(body);
  const Json* said = json->find("error");
  if (said != nullptr && said->is_object()) said = said->find("message");
  for (const char* key : {"detail", "message"}) {
    if (said == nullptr || said->is_null()) said = json->find(key);
  }
  if (said == nullptr || said->is_null()) return cut(json->dump());
  return cut(said->is_text() ? said->text() : said->dump());
}

std::vector<std::pair<Json, std::size_t>> parts_of(std::string_view body, const std::string& where) {
  std::vector<std::pair<Json, std::size_t>> parts;
  for (std::size_t at = 0; at < body.size();) {
    const std::size_t end = std::min(body.find('\n', at), body.size());
    std::string_view line = body.substr(at, end - at);
    at = end + 1;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.starts_with("data:")) line.remove_prefix(5);
    while (line.starts_with(' ')) line.remove_prefix(1);
    const bool aside = line.starts_with(':') || line.starts_with("event:") || line.starts_with("id:") ||
                       line.starts_with("retry:") || line == "[DONE]";
    if (line.empty() || aside) continue;
    auto part = json_or_none(line, where);
    if (!part) fail_load({.what = "a part of the server's answer is no JSON", .where = where, .found = cut(line)});
    parts.emplace_back(std::move(*part), end);
  }
  return parts;
}

Exchange::Exchange(const Endpoint& endpoint) : endpoint_(endpoint) {
  std::tie(root_, credentials_) = root_of(endpoint.url);
}

Exchange::~Exchange() = default;

Answer Exchange::get(const std::string& path) {
  Body body;
  return ask(path, nullptr, body);
}

Answer Exchange::post(const std::string& path, const std::string& json) {
  Body body;
  return ask(path, &json, body);
}

std::optional<std::string> Exchange::text(const std::string& path) {
  Body body;
  const Answer answer = ask(path, nullptr, body);
  if (!answer.good() || answer.json) return std::nullopt;
  return std::move(body.bytes);
}

Json Exchange::must_post(const std::string& path, const std::string& json, double* seconds) {
  Answer answer = post(path, json);
  if (seconds != nullptr) *seconds = answer.seconds;
  if (!answer.good() || !answer.json) refuse(path, answer);
  return std::move(*answer.json);
}

std::vector<Event> Exchange::must_stream(const std::string& path, const std::string& json, double& seconds) {
  Body body;
  Answer answer = ask(path, &json, body);
  seconds = answer.seconds;
  std::vector<Event> events;
  if (!answer.good()) refuse(path, answer);
  if (answer.json) {  // all at once
    events.push_back({std::move(*answer.json), answer.seconds});
    return events;
  }
  for (auto& [part, end] : parts_of(body.bytes, where(path))) {
    if (part.find("error") != nullptr) {
      answer.message = message_of(part, "");
      refuse(path, answer);
    }
    const auto arrived = std::ranges::find_if(body.arrivals, [&](const auto& a) { return a.first >= end; });
    events.push_back({std::move(part), arrived == body.arrivals.end() ? answer.seconds : arrived->second});
  }
  if (events.empty()) refuse(path, answer);
  return events;
}

void Exchange::refuse(const std::string& path, const Answer& answer) const {
  const bool taken = answer.good() && answer.message.empty();
  const bool odd = answer.good() && !answer.json;
  fail_load(
      {.what = odd ? "the server's answer is no JSON" : "the server refuses",
       .where = where(path),
       .found = taken           ? "nothing"
                : answer.good() ? answer.message
                                : fmt::format("{}: {}", answer.status, answer.message),
       .hint = answer.status == 401 || answer.status == 403 ? "--api-key, or PKV_API_KEY in the environment" : ""});
}

void Exchange::pace(std::int64_t questions) {
  if (endpoint_.rate <= 0) return;
  double wait = 0;
  {
    const std::scoped_lock lock(mutex_);
    const double now = seconds();
    wait = std::max(0.0, next_ - now);
    next_ = now + wait + static_cast<double>(questions) / endpoint_.rate;
  }
  const std::chrono::milliseconds rest(std::llround(1000 * wait));
  if (rest.count() > 0 && !http::rest(rest, endpoint_.stop)) throw Stopped{};
}

Answer Exchange::ask(const std::string& path, const std::string* json, Body& body) {
  for (int tried = 0;; ++tried) {
    http::Response response;
    Answer answer = once(path, json, body, response);
    if (response.failure == Failure::stopped) throw Stopped{};
    if (response.answered() && (!worth_another_try(response) || tried >= endpoint_.retries)) return answer;
    if (!worth_another_try(response) || tried >= endpoint_.retries) fail(path, response);
    rest(path, response, tried);
  }
}

http::Response Exchange::send(const http::Request& request, const http::Connection::Handlers& handlers) {
  if (endpoint_.send) return endpoint_.send(request, handlers);
  std::unique_ptr<http::Connection> connection;
  {
    const std::scoped_lock lock(mutex_);
    if (!idle_.empty()) {
      connection = std::move(idle_.back());
      idle_.pop_back();
    }
  }
  if (!connection) connection = std::make_unique<http::Connection>(std::filesystem::path(), endpoint_.stop);
  http::Response response = connection->perform(request, handlers);
  const std::scoped_lock lock(mutex_);
  idle_.push_back(std::move(connection));
  return response;
}

Answer Exchange::once(const std::string& path, const std::string* json, Body& body, http::Response& response) {
  std::string scheme_and_root = root_;
  if (!credentials_.empty()) scheme_and_root.insert(scheme_and_root.find("://") + 3, credentials_ + "@");
  http::Request request{.url = scheme_and_root + path, .headers = {"Accept: application/json, */*"}};
  if (json != nullptr) {
    request.body = *json;
    request.headers.emplace_back("Content-Type: application/json");
  }
  if (!endpoint_.key.empty()) request.headers.push_back("Authorization: Bearer " + endpoint_.key);
  request.total_timeout = endpoint_.timeout;
  const double start = seconds();
  const http::Connection::Handlers handlers{
      .begin = [&](const http::Response&) { body = {}; },
      .body =
          [&](std::string_view bytes) {
            if (body.bytes.size() + bytes.size() > kMostBytes) {
              fail_load({.what = "the server answers with more than anyone needs",
                         .where = where(path),
                         .expected = fmt::format("at most {} bytes", kMostBytes)});
            }
            body.bytes += bytes;
            if (body.arrivals.size() == kMostArrivals) body.arrivals.pop_back();
            body.arrivals.emplace_back(body.bytes.size(), seconds() - start);
          }};
  response = send(request, handlers);
  Answer answer{.status = response.status, .seconds = seconds() - start};
  if (!response.answered()) return answer;
  if (response.redirects()) {
    fail_load({.what = "the server sends to another address, which is not followed",
               .where = where(path),
               .found = cut(response.headers.get("location")),
               .hint = "--server with that address, if it is yours"});
  }
  if (!answer.good()) body = {.bytes = response.refusal};
  answer.json = json_or_none(body.bytes, where(path));
  if (!answer.good() || !answer.json) answer.message = message_of(answer.json, body.bytes);
  return answer;
}

void Exchange::rest(const std::string& path, const http::Response& response, int tried) {
  const std::chrono::milliseconds wait = http::rest_before_retry(response, endpoint_.backoff, tried);
  if (response.retry_after && wait > endpoint_.longest_wait) fail(path, response);
  if (endpoint_.tell && wait >= std::chrono::seconds(3)) {
    const std::scoped_lock lock(mutex_);
    endpoint_.tell(
        fmt::format("{}: {}; trying again in {} s", root_,
                    response.answered() ? fmt::format("the server answers {}", response.status) : response.message,
                    wait.count() / 1000));
  }
  if (!http::rest(wait, endpoint_.stop)) throw Stopped{};
}

void Exchange::fail(const std::string& path, const http::Response& response) const {
  const bool busy = response.answered();
  fail_load({.what = busy ? "the server is too busy to be checked" : "the server does not answer",
             .where = where(path),
             .found = busy ? fmt::format("{}: {}", response.status, message_of(std::nullopt, response.refusal))
                           : response.message,
             .hint = response.failure == Failure::unreachable ? "whether it runs there, and its port"
                     : response.failure == Failure::timeout   ? "--timeout with more seconds, or a shorter text"
                                                              : ""});
}

}  // namespace pkv::servers
