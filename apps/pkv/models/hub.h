// The Hub as a user of the program meets it: what is about to be downloaded, how far it is, how long it takes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "files/hub/hub.h"

namespace pkv::program {

hub::Settings hub_settings();  // of the environment, with the program's name and version

// hub::download with what it does told on stderr. Ctrl-C leaves what arrived, to be gone on with.
hub::Plan download_from_hub(const hub::Settings& settings, const hub::Id& id, const hub::Wish& wish = {});

// The folder or GGUF file of a model of the cache or of the Hub.
std::filesystem::path find_on_hub(const hub::Id& id);

std::string home_relative(const std::filesystem::path& path);  // "~/.cache/..."

}  // namespace pkv::program
