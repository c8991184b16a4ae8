#include "support/loopback.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <sstream>
#include <stdexcept>
#include <utility>

namespace pkv::support {

std::string HttpRequest::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string() : found->second;
}

HttpRequest read_request(int socket) {
  std::string head;
  char c = 0;
  while (!head.ends_with("\r\n\r\n") && head.size() < 65536 && ::recv(socket, &c, 1, 0) == 1) head += c;
  HttpRequest request;
  std::istringstream lines(head);
  lines >> request.method >> request.path;
  std::string line;
  std::getline(lines, line);
  while (std::getline(lines, line)) {
    const auto colon = line.find(": ");
    if (colon == std::string::npos) continue;
    std::string name = line.substr(0, colon);
    std::ranges::transform(name, name.begin(), [](unsigned char l) { return static_cast<char>(std::tolower(l)); });
    request.headers[name] = line.substr(colon + 2, line.size() - colon - 3);
  }
  const std::string length = request.header("content-length");
  std::size_t missing = length.empty() ? 0 : std::stoul(length);
  std::string piece(65536, '\0');
  while (missing > 0) {
    const ssize_t n = ::recv(socket, piece.data(), std::min(missing, piece.size()), 0);
    if (n <= 0) break;
    request.body.append(piece, 0, static_cast<std::size_t>(n));
    missing -= static_cast<std::size_t>(n);
  }
  return request;
}

Loopback::Loopback(std::function<void(int)> serve) : serve_(std::move(serve)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  auto* where = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_, where, size) != 0 || ::listen(listener_, 64) != 0 ||
      ::getsockname(listener_, where, &size) != 0) {
    throw std::runtime_error("cannot listen on loopback");
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::jthread([this] { accept_all(); });
}

Loopback::~Loopback() {
  stop_ = true;
  acceptor_.join();
  ::close(listener_);
  connections_.clear();
}

std::string Loopback::url() const { return "http://127.0.0.1:" + std::to_string(port_); }

void Loopback::accept_all() {
  while (!stop_) {
    pollfd ready{.fd = listener_, .events = POLLIN, .revents = 0};
    if (::poll(&ready, 1, 20) <= 0) continue;
    const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (socket < 0) continue;
    timeval limit{.tv_sec = 5, .tv_usec = 0};
    ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ::setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    connections_.emplace_back([this, socket] {
      serve_(socket);
      ::shutdown(socket, SHUT_RDWR);
      ::close(socket);
    });
  }
}

}  // namespace pkv::support
