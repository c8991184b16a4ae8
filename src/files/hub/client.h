// What pkv asks a Hub: which commit a revision is, which files it has, what a file is, and its bytes. Requests are
// tried again where that may help, and what fails fails in a sentence (Error::load). The token goes to the Hub's own
// hosts alone. One client per thread.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "files/http/http.h"
#include "files/hub/id.h"
#include "files/hub/settings.h"
#include "files/hub/wire.h"

namespace pkv::hub {

// Thrown when the work was told to stop.
struct Stopped {};

// The Hub could not be asked: there is no network, it is down, or it may not be asked. What the cache holds may do.
class Unreachable : public Error {
 public:
  explicit Unreachable(Text text) : Error(Kind::load, std::move(text)) {}
};

struct FileMetadata {
  std::string etag;                   // normalised
  std::optional<std::uint64_t> size;  // of the whole file
};

class Client {
 public:
  using Tell = std::function<void(std::string)>;  // a line for the user: that it waits, and why

  Client(const Settings& settings, const std::atomic<bool>& stop, Tell tell);

  RepoInfo info(const Id& id);
  // None when this Hub has no such listing (some mirrors don't).
  std::optional<std::vector<RepoFile>> tree(const Id& id, std::string_view commit);
  // Error when the answer is not of that commit.
  FileMetadata metadata(const Id& id, std::string_view commit, const std::string& file);

  // The bytes of a file from `from` on, tried once. Statuses that mean a better try later come back; others are errors.
  http::Response get(const Id& id, std::string_view commit, const std::string& file, std::uint64_t from,
                     const http::Connection::Handlers& handlers);

  // Before try number `tried` + 1. Error when it was the last, or when the server wants a longer rest than we give.
  void wait_to_retry(const Id& id, std::string_view file, const http::Response& response, int tried);

 private:
  std::string file_url(const Id& id, std::string_view commit, const std::string& file) const;
  http::Request request_for(std::string url, bool head) const;
  http::Response follow(http::Request request, bool stay_on_hub, const http::Connection::Handlers& handlers);
  http::Response ask(const Id& id, std::string_view file, http::Request request,
                     const http::Connection::Handlers& handlers = {});
  http::Response get_text(const Id& id, const std::string& url, std::string& text);

  const Settings& settings_;
  const std::atomic<bool>& stop_;
  Tell tell_;
  http::Connection http_;
};

// Whether an address is of the Hub that HF_ENDPOINT names, or of huggingface.co itself.
bool is_of_a_hub(const Settings& settings, const std::string& url);
// Whether the token may be sent there: to that Hub alone; huggingface.co has two names.
bool may_see_token(const Settings& settings, const std::string& url);
// Whether the same request may succeed later.
bool worth_another_try(const http::Response& response);
// The sentence for a response that is no success. `file` is empty for a listing.
[[noreturn]] void fail_response(const Settings& settings, const Id& id, std::string_view file,
                                const http::Response& response);
[[noreturn]] void fail_offline(const Id& id);

}  // namespace pkv::hub
