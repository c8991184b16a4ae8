// Which folder MODEL means.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace pkv::program {

// A path, the name of a bundled model, or that of a model of the Hugging Face Hub, which is downloaded unless the cache
// holds it. Error::load when it is none of these, or a folder of model folders.
std::filesystem::path find_model(const std::string& model);

// In the order of their architectures, and by name. Error::load when there are none.
std::vector<std::filesystem::path> bundled_models();
std::vector<std::string> bundled_names();  // perhaps none

// Where the script is that records what transformers does with a model: installed with the program, or in the sources.
std::filesystem::path recorder();

}  // namespace pkv::program
