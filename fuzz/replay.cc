// Runs a fuzz target without a fuzzer: once on nothing, once on each file of the folders named on the command line.
// Built where libFuzzer is not (gcc), as a test that inputs which once crashed a parser no longer do.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  std::vector<fs::path> inputs;
  for (int i = 1; i < argc; ++i) {
    const std::size_t before = inputs.size();
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(argv[i], error)) inputs.push_back(entry.path());
    if (inputs.size() > before) continue;
    std::fprintf(stderr, "%s: no inputs there\n", argv[i]);
    return 1;
  }
  std::sort(inputs.begin(), inputs.end());
  LLVMFuzzerTestOneInput(nullptr, 0);
  for (const fs::path& input : inputs) {
    std::ifstream file(input, std::ios::binary);
    const std::vector<char> bytes(std::istreambuf_iterator<char>(file), {});
    std::printf("%s, %zu bytes\n", input.c_str(), bytes.size());
    std::fflush(stdout);  // so that the last line names the input that crashes
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  }
  std::printf("%zu inputs\n", inputs.size());
}
