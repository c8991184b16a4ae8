// A played server on loopback, in the dialect of one that people run, with faults of the wire. One thread a connection;
// ends with the object.
#pragma once

#include <atomic>
#include <list>
#include <map>
#include <string>
#include <thread>

#include "base/json.h"
#include "servers/play.h"

namespace pkv::support {

struct Wire {
  std::map<std::string, std::string> headers;  // of a request, names in lower case
  std::string method, path, body;
};

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
  // "llama.cpp", "vllm", "sglang", "tgi", "ollama", "openai", "chat"
  explicit HttpPlay(std::string dialect);
  ~HttpPlay();
  HttpPlay(const HttpPlay&) = delete;
  HttpPlay& operator=(const HttpPlay&) = delete;

  std::string url() const;
  void fault(WireFault fault);
  std::vector<Wire> asked() const;

  Play play;
  std::string key;               // that is wanted
  std::atomic<int> running = 0;  // questions that are being answered

 private:
  void accept_all();
  void serve(int socket);
  WireReply answer(const Wire& request);
  WireReply llama_cpp(const Wire& request, const Json& body);
  WireReply vllm(const Wire& request, const Json& body);
  WireReply sglang(const Wire& request, const Json& body);
  WireReply tgi(const Wire& request, const Json& body);
  WireReply ollama(const Wire& request, const Json& body);
  WireReply openai(const Wire& request, const Json& body);

  std::string dialect_;
  int listener_ = -1, port_ = 0;
  std::atomic<bool> stop_ = false;
  mutable std::mutex mutex_;
  std::list<WireFault> faults_;
  std::vector<Wire> asked_;
  Ids last_;  // asked of slot 0
  std::list<std::jthread> connections_;
  std::jthread acceptor_;
};

}  // namespace pkv::support
