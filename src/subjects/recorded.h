// Recorded runs: safetensors files with `ids` int64 [n], `logits` [n, vocab] (fp32, fp16 or bf16) and string metadata,
// written by `pkv logits`, by tools/record_transformers.py or by any other program. See docs/checking.md for the
// metadata.
#pragma once

#include <filesystem>

#include "checker/recorded/recorded.h"

namespace pkv::subjects {

check::Recording read_recording(const std::filesystem::path& file);
void write_recording(const std::filesystem::path& file, const check::Recording& recording);

}  // namespace pkv::subjects
