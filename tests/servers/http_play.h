// A played server on loopback, in the dialect of one that people run, with faults of the wire.
#pragma once

#include <atomic>
#include <list>
#include <map>
#include <string>

#include "base/json.h"
#include "servers/play.h"
#include "support/loopback.h"

namespace pkv::support {

struct WireReply {
  int status = 200;
  std::string body = "{}";
  std::map<std::string, std::string> headers = {};
};

// What goes wrong before the model is asked, on paths that hold `path`.
struct WireFault {
  std::string path;
  int times = 1;  // -1: always
  WireReply reply = {};
  bool cut = false;      // the connection ends in the middle of the true answer
  bool chunked = false;  // the true answer in chunks
  int delay_ms = 0;
};

class HttpPlay {
 public:
  // "llama.cpp", "vllm", "sglang", "tensorrt-llm", "tgi", "ollama", "openai", "chat", "llama-cpp-python",
  // "transformers"
  explicit HttpPlay(std::string dialect);
  std::string url() const { return loopback_.url(); }
  void fault(WireFault fault);

  Play play;
  std::string key;               // that is wanted
  std::atomic<int> running = 0;  // questions that are being answered
  std::atomic<int> asked = 0;    // all requests
  bool counts = true;            // vLLM's /metrics can be read
  bool shared = false;           // and others ask meanwhile

 private:
  void serve(int socket);
  WireReply answer(const HttpRequest& request);
  WireReply llama_cpp(const HttpRequest& request, const Json& body);
  WireReply vllm(const HttpRequest& request, const Json& body);
  WireReply tensorrt(const HttpRequest& request, const Json& body);
  WireReply sglang(const HttpRequest& request, const Json& body);
  WireReply tgi(const HttpRequest& request, const Json& body);
  WireReply ollama(const HttpRequest& request, const Json& body);
  WireReply openai(const HttpRequest& request, const Json& body);

  std::string dialect_;
  std::mutex mutex_;
  std::list<WireFault> faults_;
  Ids last_;  // asked of slot 0
  std::int64_t queries_ = 0, hits_ = 0;
  Loopback loopback_{[this](int socket) { serve(socket); }};
};

}  // namespace pkv::support
