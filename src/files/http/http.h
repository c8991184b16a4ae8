// One connection's worth of HTTP(S) over libcurl: a request, its response, no redirects followed, nothing retried. What
// a response may cost is bounded: headers, and bodies nobody asked for. Certificates are verified. One Connection per
// thread. The program ignores SIGPIPE: OpenSSL may write to a connection that is gone.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "files/http/headers.h"

namespace pkv::http {

struct Request {
  std::string url;
  bool head = false;
  std::optional<std::string> body;   // is posted; of the type that `headers` say
  std::vector<std::string> headers;  // "Name: value"
  std::uint64_t from = 0;            // the first byte wanted
  std::chrono::milliseconds connect_timeout{10'000};
  std::chrono::milliseconds stall_timeout{0};  // without a byte; 0: none
  std::chrono::milliseconds total_timeout{0};  // 0: none
};

struct Response {
  enum class Failure {
    none,
    unreachable,  // no such host, or nobody listens there
    certificate,  // it cannot prove who it is
    timeout,
    cut,      // the connection broke
    stopped,  // by `stop`
    hostile,  // more headers than anyone needs, or no HTTP
  };
  Failure failure = Failure::none;
  std::string message;  // of a failure
  std::string host;     // that was asked, after all redirects
  int status = 0;
  Headers headers;
  std::string refusal;                      // the body of a response that is no success, at most its first 64 KiB
  std::optional<std::int64_t> retry_after;  // seconds

  bool answered() const { return failure == Failure::none; }
  bool good() const { return answered() && status >= 200 && status < 300; }
  bool redirects() const;
};

// Whether a text is such an address and what it means relative to another; empty when it is none, or of a scheme other
// than http and https.
std::string absolute_url(std::string_view base, std::string_view url);
std::string origin_of(const std::string& url);  // "https://host:443"; empty when it is no URL
std::string host_of(std::string_view url);      // "host" or "host:8080", as the URL spells it

// `text` with everything but letters, digits, "-._~" and `safe` in percent signs.
std::string percent_encoded(std::string_view text, std::string_view safe = {});

// How long to rest before try number `tried` + 1: as long as the response asks for, or else `backoff`, doubled each
// time at most three times.
std::chrono::milliseconds rest_before_retry(const Response& response, std::chrono::milliseconds backoff, int tried);
// False when `stop` (which may be null) ended it early.
bool rest(std::chrono::milliseconds time, const std::atomic<bool>* stop);

class Connection {
 public:
  // Called for a response of 2xx, before its body; then with its body, piece by piece. What they throw is thrown by
  // `perform`.
  struct Handlers {
    std::function<void(const Response&)> begin;
    std::function<void(std::string_view)> body;
  };

  Connection(const std::filesystem::path& certificates, const std::atomic<bool>* stop);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  Response perform(const Request& request, const Handlers& handlers = {});

 private:
  struct Exchange;
  void set_up(const Request& request, Exchange& exchange);

  void* curl_;
  std::filesystem::path certificates_;
  const std::atomic<bool>* stop_;
};

}  // namespace pkv::http
