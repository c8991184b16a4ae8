#include "files/http/http.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <exception>
#include <thread>

#include "base/error.h"

namespace pkv::http {
namespace {

constexpr std::size_t kUnwanted = 64 << 10;  // bytes of a body that nobody asked for

Response::Failure failure_of(CURLcode code) {
  using enum Response::Failure;
  switch (code) {
    case CURLE_OK:
      return none;
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_COULDNT_CONNECT:
      return unreachable;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
      return certificate;
    case CURLE_OPERATION_TIMEDOUT:
      return timeout;
    case CURLE_ABORTED_BY_CALLBACK:
      return stopped;
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_WEIRD_SERVER_REPLY:
      return hostile;
    default:
      return cut;
  }
}

template <class Value>
void set(CURL* curl, CURLoption option, Value value) {
  if (curl_easy_setopt(curl, option, value) != CURLE_OK) fail_internal({.what = "libcurl refuses an option"});
}

std::string part_of(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return {};
  std::string copy(text);
  curl_free(text);
  return copy;
}

using Url = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

Url parsed(const std::string& text) {
  Url url(curl_url(), curl_url_cleanup);
  if (url && curl_url_set(url.get(), CURLUPART_URL, text.c_str(), CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK) url.reset();
  return url;
}

bool web_scheme(CURLU* url) {
  const std::string scheme = part_of(url, CURLUPART_SCHEME);
  return scheme == "https" || scheme == "http";
}

void start_curl() {
  static const CURLcode started = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK) fail_internal({.what = "libcurl cannot be used"});
}

}  // namespace

bool Response::redirects() const {
  return answered() && (status == 301 || status == 302 || status == 303 || status == 307 || status == 308) &&
         !headers.get("location").empty();
}

std::string absolute_url(std::string_view base, std::string_view url) {
  if (url.size() > 16'384 || url.find('\0') != url.npos) return {};
  const Url at = parsed(std::string(base));
  if (!at) return {};
  const unsigned flags = CURLU_NON_SUPPORT_SCHEME | CURLU_URLENCODE;
  if (curl_url_set(at.get(), CURLUPART_URL, std::string(url).c_str(), flags) != CURLUE_OK) return {};
  return web_scheme(at.get()) ? part_of(at.get(), CURLUPART_URL) : std::string();
}

std::string origin_of(const std::string& text) {
  const Url url = parsed(text);
  if (!url || !web_scheme(url.get())) return {};
  std::string host = part_of(url.get(), CURLUPART_HOST);
  std::ranges::transform(host, host.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return fmt::format("{}://{}:{}", part_of(url.get(), CURLUPART_SCHEME), host,
                     part_of(url.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT));
}

std::string host_of(std::string_view url) {
  if (const auto scheme = url.find("://"); scheme != url.npos) url.remove_prefix(scheme + 3);
  return std::string(url.substr(0, url.find('/')));
}

std::string percent_encoded(std::string_view text, std::string_view safe) {
  std::string encoded;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (plain || std::string_view("-._~").find(c) != std::string_view::npos || safe.find(c) != safe.npos) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

std::chrono::milliseconds rest_before_retry(const Response& response, std::chrono::milliseconds backoff, int tried) {
  if (!response.retry_after) return backoff * (1 << std::min(tried, 3));
  return std::chrono::seconds(std::clamp<std::int64_t>(*response.retry_after, 0, 1'000'000));
}

bool rest(std::chrono::milliseconds time, const std::atomic<bool>* stop) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
    if (stop != nullptr && stop->load()) return false;
    std::this_thread::sleep_for(std::min<std::chrono::milliseconds>(time, std::chrono::milliseconds(20)));
  }
  return true;
}

struct Connection::Exchange {
  CURL* curl = nullptr;
  const Handlers* handlers = nullptr;
  const std::atomic<bool>* stop = nullptr;
  Response response;
  std::size_t unwanted = 0;
  bool begun = false, hostile = false;
  std::exception_ptr thrown;
  std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers{nullptr, curl_slist_free_all};
  std::array<char, CURL_ERROR_SIZE> message{};

  // For C callbacks, through which nothing may be thrown.
  bool attempt(const auto& body) noexcept {
    try {
      return body();
    } catch (...) {
      thrown = std::current_exception();
      return false;
    }
  }

  void read_status() {
    long status = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    response.status = static_cast<int>(status);
  }

  bool begin() {
    if (begun) return true;
    begun = true;
    read_status();
    if (response.good() && handlers->begin) handlers->begin(response);
    return true;
  }

  bool take(std::string_view bytes) {
    begin();
    if (response.good() && handlers->body) {
      handlers->body(bytes);
      return true;
    }
    response.refusal += bytes.substr(0, kUnwanted - std::min(kUnwanted, response.refusal.size()));
    return (unwanted += bytes.size()) <= kUnwanted;
  }

  static std::size_t on_header(char* data, std::size_t, std::size_t size, void* self) {
    auto& exchange = *static_cast<Exchange*>(self);
    const bool kept = exchange.attempt([&] { return exchange.response.headers.add({data, size}); });
    exchange.hostile = !kept;
    return kept ? size : size + 1;
  }

  static std::size_t on_body(char* data, std::size_t, std::size_t size, void* self) {
    auto& exchange = *static_cast<Exchange*>(self);
    return exchange.attempt([&] { return exchange.take({data, size}); }) ? size : size + 1;
  }

  static int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
    const auto* stop = static_cast<Exchange*>(self)->stop;
    return stop != nullptr && stop->load() ? 1 : 0;
  }
};

Connection::Connection(const std::filesystem::path& certificates, const std::atomic<bool>* stop)
    : certificates_(certificates), stop_(stop) {
  start_curl();
  curl_ = curl_easy_init();
  if (curl_ == nullptr) fail_internal({.what = "libcurl cannot be used"});
}

Connection::~Connection() { curl_easy_cleanup(curl_); }

void Connection::set_up(const Request& request, Exchange& exchange) {
  set(curl_, CURLOPT_URL, request.url.c_str());
  set(curl_, CURLOPT_PROTOCOLS_STR, "http,https");
  set(curl_, CURLOPT_NOBODY, request.head ? 1L : 0L);
  set(curl_, CURLOPT_NOSIGNAL, 1L);
  set(curl_, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(curl_, CURLOPT_ERRORBUFFER, exchange.message.data());
  if (!certificates_.empty()) set(curl_, CURLOPT_CAINFO, certificates_.c_str());
  for (const std::string& header : request.headers) {
    exchange.headers.reset(curl_slist_append(exchange.headers.release(), header.c_str()));
  }
  if (request.body) {
    set(curl_, CURLOPT_POST, 1L);
    set(curl_, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body->size()));
    set(curl_, CURLOPT_POSTFIELDS, request.body->data());
    exchange.headers.reset(curl_slist_append(exchange.headers.release(), "Expect:"));
  }
  if (request.from > 0) set(curl_, CURLOPT_RANGE, fmt::format("{}-", request.from).c_str());
  set(curl_, CURLOPT_HTTPHEADER, exchange.headers.get());
  set(curl_, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request.connect_timeout.count()));
  set(curl_, CURLOPT_TIMEOUT_MS, static_cast<long>(request.total_timeout.count()));
  if (request.stall_timeout.count() > 0) {
    set(curl_, CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(curl_, CURLOPT_LOW_SPEED_TIME, std::max(1L, static_cast<long>(request.stall_timeout.count() / 1000)));
  }
  set(curl_, CURLOPT_HEADERFUNCTION, &Exchange::on_header);
  set(curl_, CURLOPT_HEADERDATA, &exchange);
  set(curl_, CURLOPT_WRITEFUNCTION, &Exchange::on_body);
  set(curl_, CURLOPT_WRITEDATA, &exchange);
  set(curl_, CURLOPT_NOPROGRESS, 0L);
  set(curl_, CURLOPT_XFERINFOFUNCTION, &Exchange::on_progress);
  set(curl_, CURLOPT_XFERINFODATA, &exchange);
}

Response Connection::perform(const Request& request, const Handlers& handlers) {
  Exchange exchange;
  exchange.curl = curl_;
  exchange.handlers = &handlers;
  exchange.stop = stop_;
  // The handle outlives the exchange, into which its options point.
  const std::unique_ptr<CURL, decltype(&curl_easy_reset)> forget(curl_, curl_easy_reset);
  set_up(request, exchange);
  const CURLcode code = curl_easy_perform(curl_);
  if (exchange.thrown) std::rethrow_exception(exchange.thrown);
  exchange.read_status();
  Response& response = exchange.response;
  // A long body of an error was broken off on purpose: the status is the answer.
  const bool enough = exchange.unwanted > kUnwanted;
  response.failure = enough ? Response::Failure::none : failure_of(code);
  if (exchange.hostile) response.failure = Response::Failure::hostile;
  if (code == CURLE_OK) exchange.begin();  // a good response without a body
  if (!response.answered()) {
    response.message = exchange.hostile              ? "it sends too many headers"
                       : exchange.message[0] != '\0' ? exchange.message.data()
                                                     : curl_easy_strerror(code);
  }
  curl_off_t seconds = 0;
  if (curl_easy_getinfo(curl_, CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK && seconds > 0) {
    response.retry_after = seconds;
  } else if (const auto wait = parse_rate_limit(response.headers.get("ratelimit"))) {
    response.retry_after = wait;
  }
  return std::move(response);
}

}  // namespace pkv::http
