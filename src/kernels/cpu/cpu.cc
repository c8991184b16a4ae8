#include "kernels/cpu/cpu.h"

#include "kernels/naive/naive.h"

namespace pkv::kernels::cpu {

const Ops& ops() {
  static const Ops table = [] {
    Ops t = naive::ops();
    t.name = "cpu";
    return t;
  }();
  return table;
}

}  // namespace pkv::kernels::cpu
