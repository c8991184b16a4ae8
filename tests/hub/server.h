// A Hub on loopback for tests: the listings, redirects, etags and errors of huggingface.co as huggingface_hub meets
// them, the bytes of large files from a second host name, and faults on demand. One thread a connection, one request a
// connection; ends with the object. Plain sockets: nothing else is needed to run the tests.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "support/loopback.h"

namespace pkv::support {

struct Served {
  std::string bytes;
  bool large = false;  // kept by SHA-256 on the second host, as LFS files are
};
using ServedFiles = std::map<std::string, Served>;

// What was asked, in order of arrival.
struct Asked {
  std::string method, host, path, authorization, range, agent;
};

// Something that goes wrong with requests of `method` (any, when empty) whose path holds `path`, `times` times.
struct Fault {
  std::string method, path;
  int times = 1;
  int status = 0;                              // answered at once, with `headers`
  std::map<std::string, std::string> headers;  // added, or put in place of the true ones
  std::optional<std::size_t> cut_after;        // bytes of the body, then the connection ends
  std::optional<std::size_t> stall_after;      // bytes of the body, then nothing more comes
  int bytes_per_ms = 0;                        // a slow connection
  bool no_ranges = false;
  std::function<std::string(std::string)> body;  // other bytes; their size is announced
  std::string raw;                               // sent in place of any answer
};

class HubServer {
 public:
  std::string endpoint() const { return loopback_.url(); }
  int port() const { return loopback_.port(); }

  // A commit of a repository, and a revision that is it from now on.
  void put(const std::string& repo, const std::string& revision, const std::string& commit, ServedFiles files);
  void rename(const std::string& old_name, const std::string& repo);
  void gate(const std::string& repo, const std::string& token);  // only that token may read files
  void hide(const std::string& repo, const std::string& token);  // only that token sees it
  void page_size(std::size_t entries) { page_ = entries; }
  void without_tree() { tree_ = false; }

  void fault(Fault fault);
  std::vector<Asked> asked() const;
  Asked last_large() const;  // the last request for a large file; small ones come at the same time
  // How many requests of that method have that in their path.
  int count(const std::string& method, const std::string& path) const;
  void forget();                                      // what was asked
  int most_at_once() const { return most_at_once_; }  // requests under way for large files

 private:
  struct Repo {
    std::map<std::string, std::string> revisions;  // to commits
    std::map<std::string, ServedFiles> commits;
    std::string gate, secret;
  };
  struct Answer {
    int status = 200;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;
    bool ranges = false;
  };

  void serve(int socket);
  Answer answer(const Asked& asked) const;
  Answer api(const Asked& asked, const std::string& path) const;
  Answer resolve(const Asked& asked, const std::string& path) const;
  Answer cached(const std::string& path) const;
  Answer large(const Asked& asked, const std::string& path) const;
  Answer tree(const std::string& repo_name, const ServedFiles& files, const std::string& query) const;
  const Repo* find(const Asked& asked, const std::string& name, Answer& refusal) const;
  void send(int socket, const Asked& asked, Answer answer, const std::optional<Fault>& fault) const;
  bool send_all(int socket, const std::string& bytes, int bytes_per_ms = 0) const;

  std::atomic<int> at_once_ = 0, most_at_once_ = 0;
  std::atomic<std::size_t> page_ = 1000;
  std::atomic<bool> tree_ = true;
  mutable std::mutex mutex_;
  std::map<std::string, Repo> repos_;
  std::map<std::string, std::string> renamed_;
  std::vector<Fault> faults_;
  std::vector<Asked> asked_;
  Loopback loopback_{[this](int socket) { serve(socket); }};
};

// Digests as the Hub has them.
std::string git_digest(const std::string& bytes);
std::string sha256_digest(const std::string& bytes);

}  // namespace pkv::support
