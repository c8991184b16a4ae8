// hub_server [--slow BYTES_PER_MS] FOLDER...: plays the Hub for the models in these folders, each by its folder's name
// below `local/` (FOLDER of last name m is local/m), until its input ends. Prints the address for HF_ENDPOINT, and at
// the end what it was asked. For tools/check_hub_cache.py, and to try things by hand.
#include <cstdio>
#include <filesystem>
#include <string>

#include "hub/server.h"
#include "support/shell.h"

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  pkv::support::HubServer server;
  int first = 1;
  if (argc > 2 && std::string(argv[1]) == "--slow") {
    server.fault({.method = "GET", .path = "/cdn/", .times = 1'000'000, .bytes_per_ms = std::stoi(argv[2])});
    first = 3;
  }
  for (int i = first; i < argc; ++i) {
    pkv::support::ServedFiles files;
    for (const auto& entry : fs::directory_iterator(argv[i])) {
      if (!entry.is_regular_file()) continue;
      const fs::path& file = entry.path();
      const bool large = file.extension() == ".safetensors" || file.extension() == ".bin";
      files[file.filename()] = {.bytes = pkv::support::read(file), .large = large};
    }
    const std::string name = "local/" + fs::canonical(argv[i]).filename().string();
    server.put(name, "main", pkv::support::git_digest(name), std::move(files));
  }
  std::printf("%s\n", server.endpoint().c_str());
  std::fflush(stdout);
  while (std::getchar() != EOF) {
  }
  for (const auto& asked : server.asked()) std::printf("%s %s\n", asked.method.c_str(), asked.path.c_str());
  return 0;
}
