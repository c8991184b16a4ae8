// What the environment says about the Hub, by the variables that huggingface_hub reads: HF_HUB_CACHE, HF_HOME,
// XDG_CACHE_HOME, HF_TOKEN, HF_TOKEN_PATH, HF_ENDPOINT, HF_HUB_OFFLINE, HF_HUB_ETAG_TIMEOUT, HF_HUB_DOWNLOAD_TIMEOUT,
// HF_HUB_DISABLE_SYMLINKS, HF_HUB_DISABLE_IMPLICIT_TOKEN. Everything else of room files/hub gets a Settings and reads
// no environment.
#pragma once

#include <chrono>
#include <filesystem>
#include <string>

namespace pkv::hub {

struct Settings {
  std::filesystem::path cache;
  std::string endpoint = "https://huggingface.co";  // without a slash at the end
  std::string token;                                // sent to the endpoint alone; empty: none
  std::string user_agent = "pkv";
  std::filesystem::path certificates;  // a file of authorities to trust instead of the system's; empty: the system's
  bool offline = false;
  bool symlinks = true;
  std::chrono::milliseconds etag_timeout{10'000};      // for a whole answer about a file
  std::chrono::milliseconds download_timeout{10'000};  // without a single byte
  int retries = 5;                                     // of a request, since its last new byte
  std::chrono::milliseconds backoff{1'000};            // before the first of them; doubled each time
  std::chrono::milliseconds longest_wait{120'000};     // that a server may ask for
  int connections = 8;                                 // files at once
};

// Error::usage when a variable makes no sense.
Settings settings_from_environment();

}  // namespace pkv::hub
