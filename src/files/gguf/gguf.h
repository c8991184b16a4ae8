// The door of room gguf: see model.h and container.h.
#pragma once

#include "files/gguf/container.h"
#include "files/gguf/model.h"
