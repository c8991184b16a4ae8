// The door of room hf: a Hugging Face model folder.
#pragma once

#include "hf/common_keys.h"   // IWYU pragma: export
#include "hf/config.h"        // IWYU pragma: export
#include "hf/folder.h"        // IWYU pragma: export
#include "hf/pytorch.h"       // IWYU pragma: export
#include "hf/safetensors.h"   // IWYU pragma: export
#include "hf/tensor_file.h"   // IWYU pragma: export
#include "hf/write_folder.h"  // IWYU pragma: export
