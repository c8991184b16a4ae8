#include "hub/server.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>

#include "files/http/http.h"
#include "files/hub/digest.h"

namespace pkv::support {
namespace {

std::string digest(hub::Digest::Kind kind, const std::string& bytes) {
  hub::Digest digest(kind, bytes.size());
  digest.add(std::as_bytes(std::span(bytes)));
  return digest.finish();
}

std::string decoded(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size()) {
      plain += static_cast<char>(std::stoi(text.substr(i + 1, 2), nullptr, 16));
      i += 2;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

Asked asked_of(const HttpRequest& request) {
  return {.method = request.method,
          .host = request.header("host"),
          .path = request.path,
          .authorization = request.header("authorization"),
          .range = request.header("range"),
          .agent = request.header("user-agent")};
}

}  // namespace

std::string git_digest(const std::string& bytes) { return digest(hub::Digest::Kind::git, bytes); }
std::string sha256_digest(const std::string& bytes) { return digest(hub::Digest::Kind::sha256, bytes); }

void HubServer::put(const std::string& repo, const std::string& revision, const std::string& commit,
                    ServedFiles files) {
  const std::lock_guard lock(mutex_);
  repos_[repo].revisions[revision] = commit;
  repos_[repo].commits[commit] = std::move(files);
}

void HubServer::rename(const std::string& old_name, const std::string& repo) {
  const std::lock_guard lock(mutex_);
  renamed_[old_name] = repo;
}

void HubServer::gate(const std::string& repo, const std::string& token) {
  const std::lock_guard lock(mutex_);
  repos_[repo].gate = token;
}

void HubServer::hide(const std::string& repo, const std::string& token) {
  const std::lock_guard lock(mutex_);
  repos_[repo].secret = token;
}

void HubServer::fault(Fault fault) {
  const std::lock_guard lock(mutex_);
  faults_.push_back(std::move(fault));
}

std::vector<Asked> HubServer::asked() const {
  const std::lock_guard lock(mutex_);
  return asked_;
}

Asked HubServer::last_large() const {
  Asked last;
  for (const Asked& a : asked()) {
    if (a.method == "GET" && a.path.find("/cdn/") != std::string::npos) last = a;
  }
  return last;
}

int HubServer::count(const std::string& method, const std::string& path) const {
  const std::lock_guard lock(mutex_);
  return static_cast<int>(std::ranges::count_if(
      asked_, [&](const Asked& a) { return a.method == method && a.path.find(path) != std::string::npos; }));
}

void HubServer::forget() {
  const std::lock_guard lock(mutex_);
  asked_.clear();
}

void HubServer::serve(int socket) {
  const Asked asked = asked_of(read_request(socket));
  if (asked.method.empty()) return;
  std::optional<Fault> fault;
  Answer reply;
  {
    const std::lock_guard lock(mutex_);
    asked_.push_back(asked);
    for (Fault& f : faults_) {
      const bool fits = (f.method.empty() || f.method == asked.method) && asked.path.find(f.path) != std::string::npos;
      if (!fits || f.times == 0) continue;
      --f.times;
      fault = f;
      break;
    }
    reply = answer(asked);
  }
  const bool counts = asked.path.starts_with("/cdn/");
  if (counts) {
    const int now = ++at_once_;
    for (int most = most_at_once_; now > most && !most_at_once_.compare_exchange_weak(most, now);) {
    }
  }
  send(socket, asked, std::move(reply), fault);
  if (counts) --at_once_;
}

bool HubServer::send_all(int socket, const std::string& bytes, int bytes_per_ms) const {
  const std::size_t piece = bytes_per_ms > 0 ? static_cast<std::size_t>(bytes_per_ms) * 10 : bytes.size();
  for (std::size_t sent = 0; sent < bytes.size();) {
    const ssize_t n = ::send(socket, bytes.data() + sent, std::min(piece, bytes.size() - sent), MSG_NOSIGNAL);
    if (n <= 0 || loopback_.stopping()) return false;
    sent += static_cast<std::size_t>(n);
    if (bytes_per_ms > 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

void HubServer::send(int socket, const Asked& asked, Answer reply, const std::optional<Fault>& fault) const {
  if (fault && !fault->raw.empty()) {
    send_all(socket, fault->raw);
    return;
  }
  if (fault && fault->status != 0) reply = {.status = fault->status, .headers = {}, .body = {}};
  if (fault && fault->body) reply.body = fault->body(reply.body);
  std::size_t from = 0;
  if (reply.ranges && !asked.range.empty() && !(fault && fault->no_ranges)) {
    from = std::stoul(asked.range.substr(asked.range.find('=') + 1));
    const std::size_t size = reply.body.size();
    reply.status = from < size ? 206 : 416;
    reply.headers.emplace_back("Content-Range", from < size ? fmt::format("bytes {}-{}/{}", from, size - 1, size)
                                                            : fmt::format("bytes */{}", size));
    reply.body = from < size ? reply.body.substr(from) : "";
  }
  std::string head = fmt::format("HTTP/1.1 {} Answer\r\nConnection: close\r\n", reply.status);
  std::map<std::string, std::string> others = fault ? fault->headers : std::map<std::string, std::string>();
  if (!others.contains("Content-Length"))
    reply.headers.emplace_back("Content-Length", fmt::format("{}", reply.body.size()));
  for (const auto& [name, value] : reply.headers) {
    if (!others.contains(name)) head += name + ": " + value + "\r\n";
  }
  for (const auto& [name, value] : others) {
    if (!value.empty()) head += name + ": " + value + "\r\n";
  }
  std::string body = asked.method == "HEAD" ? "" : reply.body;
  if (fault && fault->cut_after) body.resize(std::min(*fault->cut_after, body.size()));
  if (fault && fault->stall_after) body.resize(std::min(*fault->stall_after, body.size()));
  if (!send_all(socket, head + "\r\n") || !send_all(socket, body, fault ? fault->bytes_per_ms : 0)) return;
  if (fault && fault->stall_after) {
    char ignored = 0;  // until the other side has enough
    while (!loopback_.stopping() && ::recv(socket, &ignored, 1, MSG_DONTWAIT) != 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

HubServer::Answer HubServer::answer(const Asked& asked) const {
  const std::string path = asked.path.substr(0, asked.path.find('?'));
  if (path.starts_with("/cdn/")) return large(asked, path.substr(5));
  if (path.starts_with("/api/resolve-cache/models/")) return cached(path.substr(26));
  for (const auto& [old_name, name] : renamed_) {
    for (const std::string& prefix : {"/api/models/" + old_name + "/", "/" + old_name + "/resolve/"}) {
      if (!path.starts_with(prefix)) continue;
      std::string target = asked.path;
      target.replace(target.find(old_name), old_name.size(), name);
      return {.status = 307, .headers = {{"Location", target}}, .body = "moved"};
    }
  }
  if (path.starts_with("/api/models/")) return api(asked, path.substr(12));
  if (path.find("/resolve/") != std::string::npos) return resolve(asked, path.substr(1));
  return {.status = 404, .headers = {}, .body = "not found"};
}

const HubServer::Repo* HubServer::find(const Asked& asked, const std::string& name, Answer& refusal) const {
  const auto at = repos_.find(name);
  const bool known = asked.authorization.empty() || asked.authorization.starts_with("Bearer hf_");
  if (!known) {
    refusal = {.status = 401, .headers = {{"X-Error-Message", "Invalid credentials in Authorization header"}}};
    return nullptr;
  }
  const bool hidden =
      at == repos_.end() || (!at->second.secret.empty() && asked.authorization != "Bearer " + at->second.secret);
  if (!hidden) return &at->second;
  refusal = {.status = asked.authorization.empty() ? 401 : 404, .headers = {{"X-Error-Code", "RepoNotFound"}}};
  return nullptr;
}

HubServer::Answer HubServer::api(const Asked& asked, const std::string& path) const {
  for (const std::string part : {"/revision/", "/tree/"}) {
    const auto at = path.find(part);
    if (at == std::string::npos) continue;
    Answer refusal;
    const std::string name = path.substr(0, at), revision = decoded(path.substr(at + part.size()));
    const Repo* repo = find(asked, name, refusal);
    if (repo == nullptr) return refusal;
    const auto named = repo->revisions.find(revision);
    const std::string commit = named == repo->revisions.end() ? revision : named->second;
    const auto files = repo->commits.find(commit);
    if (files == repo->commits.end()) return {.status = 404, .headers = {{"X-Error-Code", "RevisionNotFound"}}};
    if (part == "/tree/") {
      return tree_ ? tree(asked.path.substr(0, asked.path.find('?')), files->second, asked.path)
                   : Answer{.status = 404};
    }
    std::string siblings;
    for (const auto& [file, served] : files->second) {
      siblings += fmt::format("{}{{\"rfilename\":\"{}\"}}", siblings.empty() ? "" : ",", file);
    }
    return {.headers = {{"Content-Type", "application/json"}},
            .body = fmt::format(R"({{"id":"{}","private":false,"gated":false,"sha":"{}","siblings":[{}]}})", name,
                                commit, siblings)};
  }
  return {.status = 404};
}

HubServer::Answer HubServer::tree(const std::string& path, const ServedFiles& files, const std::string& query) const {
  const auto cursor = query.find("cursor=");
  const std::size_t first = cursor == std::string::npos ? 0 : std::stoul(query.substr(cursor + 7));
  std::size_t i = 0;
  std::string entries;
  for (const auto& [name, served] : files) {
    if (i++ < first || i > first + page_) continue;
    const std::string lfs = fmt::format(R"(,"lfs":{{"oid":"{}","size":{},"pointerSize":130}})",
                                        sha256_digest(served.bytes), served.bytes.size());
    entries += fmt::format(R"({}{{"type":"file","oid":"{}","size":{},"path":"{}"{}}})", entries.empty() ? "" : ",",
                           git_digest(served.large ? "pointer of " + name : served.bytes), served.bytes.size(), name,
                           served.large ? lfs : "");
  }
  Answer reply{.headers = {{"Content-Type", "application/json"}}, .body = "[" + entries + "]"};
  if (i > first + page_) {
    reply.headers.emplace_back(
        "Link", fmt::format("<{}{}?recursive=True&cursor={}>; rel=\"next\"", endpoint(), path, first + page_));
  }
  return reply;
}

HubServer::Answer HubServer::resolve(const Asked& asked, const std::string& path) const {
  const auto at = path.find("/resolve/");
  const std::string name = path.substr(0, at), rest = path.substr(at + 9);
  const std::string revision = decoded(rest.substr(0, rest.find('/')));
  const std::string file = decoded(rest.substr(std::min(rest.size(), rest.find('/') + 1)));
  Answer refusal;
  const Repo* repo = find(asked, name, refusal);
  if (repo == nullptr) return refusal;
  if (!repo->gate.empty() && asked.authorization != "Bearer " + repo->gate) {
    return {.status = asked.authorization.empty() ? 401 : 403, .headers = {{"X-Error-Code", "GatedRepo"}}};
  }
  const auto named = repo->revisions.find(revision);
  const std::string commit = named == repo->revisions.end() ? revision : named->second;
  const auto files = repo->commits.find(commit);
  if (files == repo->commits.end()) return {.status = 404, .headers = {{"X-Error-Code", "RevisionNotFound"}}};
  const auto served = files->second.find(file);
  if (served == files->second.end()) {
    return {.status = 404, .headers = {{"X-Error-Code", "EntryNotFound"}, {"X-Repo-Commit", commit}}};
  }
  if (!served->second.large) {  // served by the Hub itself, from another of its addresses
    return {.status = 307,
            .headers = {{"Location", fmt::format("/api/resolve-cache/models/{}/{}/{}", name, commit, file)},
                        {"X-Repo-Commit", commit}}};
  }
  const std::string sha = sha256_digest(served->second.bytes);
  return {.status = 302,
          .headers = {{"Location", fmt::format("http://localhost:{}/cdn/{}?signature=abc", port(), sha)},
                      {"X-Repo-Commit", commit},
                      {"X-Linked-Etag", "\"" + sha + "\""},
                      {"X-Linked-Size", fmt::format("{}", served->second.bytes.size())},
                      {"ETag", "\"" + git_digest("pointer of " + file) + "\""}},
          .body = "Found. Redirecting to another host"};
}

HubServer::Answer HubServer::cached(const std::string& path) const {
  for (const auto& [name, repo] : repos_) {
    if (!path.starts_with(name + "/")) continue;
    const std::string commit = path.substr(name.size() + 1, 40), file = path.substr(name.size() + 42);
    const Served& served = repo.commits.at(commit).at(file);
    return {.headers = {{"ETag", "\"" + git_digest(served.bytes) + "\""}, {"X-Repo-Commit", commit}},
            .body = served.bytes,
            .ranges = true};
  }
  return {.status = 404};
}

HubServer::Answer HubServer::large(const Asked& asked, const std::string& sha) const {
  // As the real one does: a signed address with a token besides is refused.
  if (!asked.authorization.empty() || !asked.host.starts_with("localhost")) return {.status = 400};
  for (const auto& [name, repo] : repos_) {
    for (const auto& [commit, files] : repo.commits) {
      for (const auto& [file, served] : files) {
        if (!served.large || sha256_digest(served.bytes) != sha) continue;
        return {.headers = {{"ETag", "\"of-another-kind\""}}, .body = served.bytes, .ranges = true};
      }
    }
  }
  return {.status = 404};
}

}  // namespace pkv::support
