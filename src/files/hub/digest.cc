#include "files/hub/digest.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>

#include "base/error.h"

namespace pkv::hub {

struct Digest::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  State() = default;
  ~State() { EVP_MD_CTX_free(context); }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
};

namespace {

void require(int result) {
  if (result != 1) fail_internal({.what = "OpenSSL cannot compute a digest"});
}

}  // namespace

Digest::Kind Digest::kind_of(std::string_view etag) {
  const auto hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  if (!std::ranges::all_of(etag, hex)) return Kind::none;
  return etag.size() == 64 ? Kind::sha256 : etag.size() == 40 ? Kind::git : Kind::none;
}

Digest::Digest(Kind kind, std::uint64_t size) {
  if (kind == Kind::none) return;
  state_ = std::make_unique<State>();
  require(EVP_DigestInit_ex(state_->context, kind == Kind::git ? EVP_sha1() : EVP_sha256(), nullptr));
  if (kind != Kind::git) return;
  const std::string header = fmt::format("blob {}", size);
  require(EVP_DigestUpdate(state_->context, header.c_str(), header.size() + 1));
}

Digest::~Digest() = default;
Digest::Digest(Digest&&) noexcept = default;
Digest& Digest::operator=(Digest&&) noexcept = default;

void Digest::add(std::span<const std::byte> bytes) {
  if (state_) require(EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()));
}

std::string Digest::finish() {
  if (!state_) return {};
  std::array<unsigned char, EVP_MAX_MD_SIZE> raw{};
  unsigned length = 0;
  require(EVP_DigestFinal_ex(state_->context, raw.data(), &length));
  std::string text;
  for (unsigned i = 0; i < length; ++i) text += fmt::format("{:02x}", raw[i]);
  return text;
}

}  // namespace pkv::hub
