// The door of room files/hf: a Hugging Face model folder.
#pragma once

#include "files/containers/pytorch.h"      // IWYU pragma: export
#include "files/containers/safetensors.h"  // IWYU pragma: export
#include "files/containers/tensor_file.h"  // IWYU pragma: export
#include "files/hf/common_keys.h"          // IWYU pragma: export
#include "files/hf/config.h"               // IWYU pragma: export
#include "files/hf/display_name.h"         // IWYU pragma: export
#include "files/hf/folder.h"               // IWYU pragma: export
#include "files/hf/write_folder.h"         // IWYU pragma: export
