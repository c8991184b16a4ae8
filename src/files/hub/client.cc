#include "files/hub/client.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/json.h"

namespace pkv::hub {
namespace {

constexpr std::size_t kMaxPage = 16 << 20;  // of JSON
constexpr int kMaxPages = 200, kMaxRedirects = 10;

bool is_hugging_face(std::string_view origin) {
  return origin == "https://huggingface.co:443" || origin == "https://hf.co:443";
}

std::string where_to(const std::string& url) { return quote(url.substr(0, url.find('?')), 200); }

}  // namespace

Client::Client(const Settings& settings, const std::atomic<bool>& stop, Tell tell)
    : settings_(settings), stop_(stop), tell_(std::move(tell)), http_(settings.certificates, &stop) {}

std::string Client::file_url(const Id& id, std::string_view commit, const std::string& file) const {
  return fmt::format("{}/{}/resolve/{}/{}", settings_.endpoint, id.repo, commit, http::percent_encoded(file, "/"));
}

http::Request Client::request_for(std::string url, bool head) const {
  http::Request request{.url = std::move(url), .head = head, .headers = {"User-Agent: " + settings_.user_agent}};
  request.headers.emplace_back("Accept-Encoding: identity");  // so that sizes are those of files
  request.connect_timeout = settings_.etag_timeout;
  return request;
}

bool is_of_a_hub(const Settings& settings, const std::string& url) {
  const std::string origin = http::origin_of(url);
  return origin == http::origin_of(settings.endpoint) || is_hugging_face(origin);
}

bool may_see_token(const Settings& settings, const std::string& url) {
  const std::string origin = http::origin_of(url), own = http::origin_of(settings.endpoint);
  return origin == own || (is_hugging_face(own) && is_hugging_face(origin));
}

// Follows redirects by itself, so that the token never goes to another host. With `stay_on_hub`, a redirect that leaves
// the Hub is the answer.
http::Response Client::follow(http::Request request, bool stay_on_hub, const http::Connection::Handlers& handlers) {
  for (int hops = 0; hops <= kMaxRedirects; ++hops) {
    http::Request now = request;
    if (!settings_.token.empty() && may_see_token(settings_, now.url)) {
      now.headers.push_back("Authorization: Bearer " + settings_.token);
    }
    http::Response response = http_.perform(now, handlers);
    response.host = http::host_of(now.url);
    if (!response.redirects()) return response;
    const std::string target = http::absolute_url(request.url, response.headers.get("location"));
    const bool downgrade = request.url.starts_with("https://") && target.starts_with("http://");
    if (target.empty() || downgrade) {
      fail_load({.what = "redirects to where nothing may be fetched from",
                 .where = where_to(request.url),
                 .expected = downgrade ? "an address of https" : "an address of http or https",
                 .found = quote(response.headers.get("location"))});
    }
    if (stay_on_hub && !is_of_a_hub(settings_, target)) return response;
    request.url = target;
  }
  fail_load({.what = "redirects in a circle", .where = where_to(request.url)});
}

void Client::wait_to_retry(const Id& id, std::string_view file, const http::Response& response, int tried) {
  if (tried >= settings_.retries) fail_response(settings_, id, file, response);
  const std::chrono::milliseconds wait = http::rest_before_retry(response, settings_.backoff, tried);
  if (response.retry_after && wait > settings_.longest_wait) fail_response(settings_, id, file, response);
  if (tell_ && wait >= std::chrono::seconds(3)) {
    tell_(fmt::format("{}: {}; trying again in {} s", id.text(),
                      response.status == 429 ? "the Hub limits the rate of requests"
                      : response.good()      ? "the Hub's answer ended before the file did"
                      : response.answered()  ? fmt::format("the Hub answers {}", response.status)
                                             : response.message,
                      wait.count() / 1000));
  }
  if (!http::rest(wait, &stop_)) throw Stopped{};
}

http::Response Client::ask(const Id& id, std::string_view file, http::Request request,
                           const http::Connection::Handlers& handlers) {
  if (settings_.offline) fail_offline(id);
  request.total_timeout = settings_.etag_timeout;
  for (int tried = 0;; ++tried) {
    http::Response response = follow(request, request.head, handlers);
    if (response.failure == http::Response::Failure::stopped) throw Stopped{};
    if (!worth_another_try(response)) return response;
    wait_to_retry(id, file, response, tried);
  }
}

http::Response Client::get_text(const Id& id, const std::string& url, std::string& text) {
  const http::Connection::Handlers handlers{.begin = [&](const http::Response&) { text.clear(); },
                                            .body =
                                                [&](std::string_view bytes) {
                                                  if (text.size() + bytes.size() > kMaxPage) {
                                                    fail_load({.what = "answers with more than anyone needs",
                                                               .where = where_to(url),
                                                               .expected = fmt::format("at most {} bytes", kMaxPage)});
                                                  }
                                                  text += bytes;
                                                }};
  return ask(id, {}, request_for(url, false), handlers);
}

RepoInfo Client::info(const Id& id) {
  const std::string url =
      fmt::format("{}/api/models/{}/revision/{}", settings_.endpoint, id.repo, http::percent_encoded(id.revision));
  std::string text;
  const http::Response response = get_text(id, url, text);
  if (!response.good()) fail_response(settings_, id, {}, response);
  return parse_repo_info(text, where_to(url));
}

std::optional<std::vector<RepoFile>> Client::tree(const Id& id, std::string_view commit) {
  std::string url =
      fmt::format("{}/api/models/{}/tree/{}?recursive=True&expand=False", settings_.endpoint, id.repo, commit);
  std::vector<RepoFile> files;
  for (int pages = 0; !url.empty(); ++pages) {
    if (pages == kMaxPages || files.size() > kMostFiles || !is_of_a_hub(settings_, url)) {
      fail_load({.what = "lists more files than a model has, or lists them elsewhere", .where = where_to(url)});
    }
    std::string text;
    const http::Response response = get_text(id, url, text);
    if (response.status == 404 && pages == 0) return {};
    if (!response.good()) fail_response(settings_, id, {}, response);
    std::vector<RepoFile> page = parse_tree_page(text, where_to(url));
    std::ranges::move(page, std::back_inserter(files));
    const std::string next = next_page(response.headers.get("link"));
    url = next.empty() ? "" : http::absolute_url(url, next);
  }
  std::ranges::sort(files, {}, &RepoFile::name);
  return files;
}

FileMetadata Client::metadata(const Id& id, std::string_view commit, const std::string& file) {
  const http::Response response = ask(id, file, request_for(file_url(id, commit, file), true));
  if (!response.good() && !response.redirects()) fail_response(settings_, id, file, response);
  const std::string_view found = response.headers.get("x-repo-commit");
  if (found != commit) {
    fail_load({.what = "the Hub answers with another commit than it was asked for",
               .where = fmt::format("{}: {}", id.text(), file),
               .expected = std::string(commit),
               .found = found.empty() ? "no X-Repo-Commit header: this is no Hub" : quote(found)});
  }
  const std::string_view linked = response.headers.get("x-linked-etag");
  const auto etag = normal_etag(linked.empty() ? response.headers.get("etag") : linked);
  if (!etag) {
    fail_load({.what = "the Hub does not say which bytes the file has",
               .where = fmt::format("{}: {}", id.text(), file),
               .expected = "an ETag or X-Linked-Etag header",
               .found = quote(linked.empty() ? response.headers.get("etag") : linked)});
  }
  FileMetadata metadata{.etag = *etag, .size = response.headers.number("x-linked-size")};
  if (!metadata.size && !response.redirects()) metadata.size = response.headers.number("content-length");
  return metadata;
}

http::Response Client::get(const Id& id, std::string_view commit, const std::string& file, std::uint64_t from,
                           const http::Connection::Handlers& handlers) {
  http::Request request = request_for(file_url(id, commit, file), false);
  request.from = from;
  request.stall_timeout = settings_.download_timeout;
  http::Response response = follow(request, false, handlers);
  if (response.failure == http::Response::Failure::stopped) throw Stopped{};
  const bool gone = response.failure == http::Response::Failure::unreachable;  // it was there a moment ago
  if (response.good() || response.status == 416 || gone || worth_another_try(response)) return response;
  fail_response(settings_, id, file, response);
}

}  // namespace pkv::hub
