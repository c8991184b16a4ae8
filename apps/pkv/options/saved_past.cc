#include "options/saved_past.h"

namespace pkv::program {

void SavedPastOptions::declare(Command& command, std::array<std::string_view, 2> excludes) {
  command.add({{.name = "--past-file",
                .target = &file,
                .help = "continue from the past saved there (pkv past save)",
                .excludes = excludes},
               {.name = "--ignore-unfit-past",
                .target = &ignore_unfit,
                .help = "go on without the saved past when it does not fit, with a note",
                .needs = {"--past-file"}},
               {.name = "--hash-weights",
                .target = &hash_weights,
                .help = "hash the weights even if their files have not changed since",
                .needs = {"--past-file"}},
               {.name = "--trust-past-file",
                .target = &trust_blocks,
                .help = "do not verify the checksums of its keys and values",
                .needs = {"--past-file"}}});
}

}  // namespace pkv::program
