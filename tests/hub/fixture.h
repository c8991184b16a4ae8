// What the tests against the Hub on loopback share: the server, a cache of their own, models made of a few bytes.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "base/error.h"
#include "files/hub/hub.h"
#include "hub/server.h"
#include "support/shell.h"

namespace pkv::support {

inline const std::string kCommit(40, 'a'), kLater(40, 'b');

// A model of many kinds of files, of which pkv needs some. `salt` makes its weights others.
inline ServedFiles a_model(const std::string& salt = "", std::size_t size = 20'000) {
  std::string weights;
  while (weights.size() < size) weights += "weights " + salt + std::to_string(weights.size());
  return {{"config.json", {R"({"model_type": "gpt2"})"}},
          {"tokenizer.json", {"{\"version\": \"1.0\"}" + salt}},
          {"model.safetensors", {weights, true}},
          {"pytorch_model.bin", {"not needed", true}},
          {"tf_model.h5", {"not needed", true}},
          {"modeling_gpt2.py", {"raise SystemExit"}},
          {"README.md", {"# A model"}},
          {"onnx/model.onnx", {"not needed", true}}};
}

class HubTest : public testing::Test {
 protected:
  HubTest() {
    ::setenv("no_proxy", "127.0.0.1,localhost", 1);
    std::signal(SIGPIPE, SIG_IGN);
    settings_.cache = folder_.path() / "hub";
    settings_.endpoint = server_.endpoint();
    settings_.backoff = std::chrono::milliseconds(1);
    settings_.etag_timeout = std::chrono::milliseconds(5'000);
    settings_.download_timeout = std::chrono::milliseconds(1'000);
  }

  hub::Plan download(const std::string& id, const hub::Wish& wish = {}) {
    return hub::download(settings_, hub::parse_id(id), wish, callbacks_);
  }

  // The error's text; "no error" when there is none.
  std::string refused(const std::string& id, Error::Kind kind = Error::Kind::load) {
    try {
      download(id);
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), kind) << e.what();
      return e.what();
    }
    return "no error";
  }

  std::filesystem::path repo(const std::string& name) const { return settings_.cache / ("models--" + name); }

  TemporaryFolder folder_;
  HubServer server_;
  hub::Settings settings_;
  hub::Callbacks callbacks_;
};

}  // namespace pkv::support
