#include <fmt/format.h>

#include "base/error.h"
#include "text/pipeline.h"

namespace pkv::text {

Pipeline load_vocab_and_merges(const std::filesystem::path& folder) {
  fail_load({.what = "there is no tokenizer.json", .where = folder.string()});
}

}  // namespace pkv::text
