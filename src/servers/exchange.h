// JSON to and from a server, with manners: a request is tried again where that may help (429, 503, a broken
// connection), rests as long as the server asks for, and is bounded in time; an answer is bounded in size and depth;
// no redirect is followed; and the key goes to that server alone, and into no message.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "files/http/http.h"

namespace pkv::servers {

struct Endpoint {
  std::string url;                             // "http://127.0.0.1:8080", with or without /v1
  std::string api = {};                        // a dialect by its name; empty: found by asking
  std::string key = {};                        // is sent as "Authorization: Bearer"
  std::string model = {};                      // of servers that hold several
  int candidates = 50;                         // log-probabilities asked for, where the server has no lower limit
  std::chrono::milliseconds timeout{120'000};  // of one answer
  int retries = 4;
  double rate = 0;  // questions a second, at most; 0: as fast as they are answered
  std::chrono::milliseconds backoff{500};
  std::chrono::milliseconds longest_wait{60'000};
  std::function<void(const std::string&)> tell = {};  // a line for the user: that it waits, and why
  const std::atomic<bool>* stop = nullptr;
  // What a request is sent by; empty: a connection. For tests and fuzzing.
  std::function<http::Response(const http::Request&, const http::Connection::Handlers&)> send = {};
};

// Thrown when the work was told to stop.
struct Stopped {};

struct Answer {
  int status = 0;
  std::optional<Json> json;  // none where the body is no JSON
  std::string message;       // of a refusal, as the server puts it: at most 300 characters
  double seconds = 0;

  bool good() const { return status >= 200 && status < 300; }
};

// A part of an answer that came by itself, and when: seconds after the request.
struct Event {
  Json json;
  double seconds = 0;
};

// Usable from several threads: each request has a connection of its own while it lasts.
class Exchange {
 public:
  explicit Exchange(const Endpoint& endpoint);
  ~Exchange();

  // `path` begins with '/'. Error::load when there is no answer, or it is none that may be read.
  Answer get(const std::string& path);
  Answer post(const std::string& path, const std::string& json);
  // The answer's JSON. Error::load, with what the server said, when it refuses.
  Json must_post(const std::string& path, const std::string& json, double* seconds = nullptr);
  // The same of an answer that comes in parts: events ("data: {...}") or a line of JSON each. `seconds`: of them all.
  std::vector<Event> must_stream(const std::string& path, const std::string& json, double& seconds);
  // What stands there, if anything does and it is no JSON.
  std::optional<std::string> text(const std::string& path);
  // Waits until `questions` more may be sent.
  void pace(std::int64_t questions);

  const std::string& root() const { return root_; }  // without /v1, and without a user's name or password
  std::string where(const std::string& path) const { return root_ + path; }

 private:
  // A body as it came: when it had how many bytes.
  struct Body {
    std::string bytes;
    std::vector<std::pair<std::size_t, double>> arrivals = {};
  };
  Answer ask(const std::string& path, const std::string* json, Body& body);
  Answer once(const std::string& path, const std::string* json, Body& body, http::Response& response);
  http::Response send(const http::Request& request, const http::Connection::Handlers& handlers);
  [[noreturn]] void refuse(const std::string& path, const Answer& answer) const;
  void rest(const std::string& path, const http::Response& response, int tried);
  [[noreturn]] void fail(const std::string& path, const http::Response& response) const;

  const Endpoint endpoint_;
  std::string root_, credentials_;
  std::mutex mutex_;
  double next_ = 0;  // when a question may be sent
  std::vector<std::unique_ptr<http::Connection>> idle_;
};

// The parts of an answer that came in parts: each line's JSON, and where in `body` the line ends. Error::load, naming
// `where`, for a line that is neither JSON nor of an event.
std::vector<std::pair<Json, std::size_t>> parts_of(std::string_view body, const std::string& where);

// What a refusal says: {"error": {"message": ...}}, {"error": "..."}, {"detail": ...}, {"message": ...}; else its first
// line. At most 300 characters, printable.
std::string message_of(const std::optional<Json>& json, std::string_view body);

}  // namespace pkv::servers
