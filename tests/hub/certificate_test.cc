// HTTPS: nobody is trusted who cannot prove who he is. A server of TLS on loopback with a certificate of its own
// making.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <fstream>
#include <memory>
#include <thread>

#include "hub/fixture.h"

namespace pkv::support {
namespace {

using testing::AllOf;
using testing::HasSubstr;

using Key = std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&X509_free)>;

// A certificate for `host`, signed by itself.
Certificate certificate_for(const std::string& host, EVP_PKEY* key) {
  Certificate certificate(X509_new(), X509_free);
  X509_set_version(certificate.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
  X509_set_pubkey(certificate.get(), key);
  X509_NAME* name = X509_get_subject_name(certificate.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(host.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate.get(), name);
  X509_EXTENSION* names =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, fmt::format("DNS:{}", host).c_str());
  X509_add_ext(certificate.get(), names, -1);
  X509_EXTENSION_free(names);
  X509_sign(certificate.get(), key, EVP_sha256());
  return certificate;
}

// Answers every request with `answer`.
class TlsServer {
 public:
  TlsServer(const std::string& host, std::string answer)
      : answer_(std::move(answer)), context_(SSL_CTX_new(TLS_server_method()), SSL_CTX_free) {
    const Key key(EVP_EC_gen("P-256"), EVP_PKEY_free);
    certificate_ = certificate_for(host, key.get());
    SSL_CTX_use_certificate(context_.get(), certificate_.get());
    SSL_CTX_use_PrivateKey(context_.get(), key.get());
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size);
    ::listen(listener_, 8);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this] { serve(); });
  }
  ~TlsServer() {
    stop_ = true;
    thread_.join();
    ::close(listener_);
  }
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  std::string endpoint() const { return fmt::format("https://localhost:{}", port_); }
  void write_certificate(const std::filesystem::path& file) const {
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> stream(std::fopen(file.c_str(), "w"), std::fclose);
    PEM_write_X509(stream.get(), certificate_.get());
  }

 private:
  void serve() {
    while (!stop_) {
      pollfd ready{.fd = listener_, .events = POLLIN, .revents = 0};
      if (::poll(&ready, 1, 20) <= 0) continue;
      const int socket = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      const timeval limit{.tv_sec = 5, .tv_usec = 0};
      ::setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
      const std::unique_ptr<SSL, decltype(&SSL_free)> session(SSL_new(context_.get()), SSL_free);
      SSL_set_fd(session.get(), socket);
      if (SSL_accept(session.get()) == 1) {
        char request[4096];
        SSL_read(session.get(), request, sizeof(request));
        SSL_write(session.get(), answer_.data(), static_cast<int>(answer_.size()));
        SSL_shutdown(session.get());
      }
      ::close(socket);
    }
  }

  std::string answer_;
  std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context_;
  Certificate certificate_{nullptr, X509_free};
  int listener_ = -1, port_ = 0;
  std::atomic<bool> stop_ = false;
  std::jthread thread_;
};

const std::string kAbsent =
    "HTTP/1.1 401 Unauthorized\r\nX-Error-Code: RepoNotFound\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

class HubCertificate : public HubTest {};

TEST_F(HubCertificate, OfAStrangerIsNotTrusted) {
  const TlsServer server("localhost", kAbsent);
  settings_.endpoint = server.endpoint();
  EXPECT_THAT(refused("org/m"), AllOf(HasSubstr("cannot trust localhost"), HasSubstr("SSL_CERT_FILE")));
}

TEST_F(HubCertificate, IsTrustedWhenTheUserSaysSo) {
  const TlsServer server("localhost", kAbsent);
  settings_.endpoint = server.endpoint();
  settings_.certificates = folder_.path() / "authority.pem";
  server.write_certificate(settings_.certificates);
  EXPECT_THAT(refused("org/m"), HasSubstr("no such model"));
}

TEST_F(HubCertificate, OfAnotherHostIsNotTrusted) {
  const TlsServer server("huggingface.co", kAbsent);
  settings_.endpoint = server.endpoint();
  settings_.certificates = folder_.path() / "authority.pem";
  server.write_certificate(settings_.certificates);
  EXPECT_THAT(refused("org/m"), HasSubstr("cannot trust localhost"));
}

// What was asked for over HTTPS is not taken from a connection that anyone can read and change.
TEST_F(HubCertificate, IsNotGivenUpByARedirect) {
  const TlsServer server("localhost",
                         fmt::format("HTTP/1.1 302 Found\r\nLocation: {}/api/models/org/m/revision/main\r\n"
                                     "Content-Length: 0\r\nConnection: close\r\n\r\n",
                                     server_.endpoint()));
  settings_.endpoint = server.endpoint();
  settings_.certificates = folder_.path() / "authority.pem";
  server.write_certificate(settings_.certificates);
  settings_.token = "hf_secret";
  EXPECT_THAT(refused("org/m"), HasSubstr("an address of https"));
  EXPECT_TRUE(server_.asked().empty());
}

}  // namespace
}  // namespace pkv::support
