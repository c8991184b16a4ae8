#include <cstdio>

#include "engine/kernels/cpu/instruction_set.h"

int main() {
  for (const std::string& name : pkv::kernels::cpu::instruction_sets()) std::puts(name.c_str());
}
