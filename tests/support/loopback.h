// A listener on loopback for servers that tests play. One thread a connection, one request a connection; ends with the
// object. Plain sockets: nothing else is needed to run the tests.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <string>
#include <thread>

namespace pkv::support {

struct HttpRequest {
  std::string method, path;                    // empty where no request came
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;

  std::string header(const std::string& name) const;  // empty when absent
};

HttpRequest read_request(int socket);

// Declare it last in its owner: `serve` runs until it is destroyed.
class Loopback {
 public:
  explicit Loopback(std::function<void(int socket)> serve);
  ~Loopback();
  Loopback(const Loopback&) = delete;
  Loopback& operator=(const Loopback&) = delete;

  int port() const { return port_; }
  std::string url() const;                 // "http://127.0.0.1:4711"
  bool stopping() const { return stop_; }  // what takes long must look

 private:
  void accept_all();

  std::function<void(int)> serve_;
  int listener_ = -1, port_ = 0;
  std::atomic<bool> stop_ = false;
  std::list<std::jthread> connections_;
  std::jthread acceptor_;
};

}  // namespace pkv::support
