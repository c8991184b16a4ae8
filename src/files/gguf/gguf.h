// The door of room gguf: see container.h.
#pragma once

#include "files/gguf/container.h"
