// DryRun: a backend on another one's device whose operations compute nothing and are noted by name instead. It tells
// which arithmetic a model's forward uses. Results are garbage; memory is real, so keep it small.
//
//   kernels::DryRun dry(backend);
//   ... a forward on dry.backend() ...
//   dry.names();   // {"act gelu", "attend fp16", "linear nf4", "norm", "rotary"}
//
// A name stands for all calls that share their bits' origin: kernels/numerics.h has a probe for each. Operations that
// move numbers or round them once (embed, append, pick, convert) give the same bits in every table and have no name.
#pragma once

#include <set>
#include <string>

#include "engine/kernels/backend.h"
#include "engine/kernels/kernels.h"

namespace pkv::kernels {

class DryRun {
 public:
  explicit DryRun(const Backend& like);
  ~DryRun();
  DryRun(const DryRun&) = delete;
  DryRun& operator=(const DryRun&) = delete;

  // Valid as long as this is, and so is memory of it. For the thread that made this one.
  const Backend& backend() const { return backend_; }
  const std::set<std::string>& names() const { return names_; }

 private:
  Ops ops_;
  Backend backend_;
  std::set<std::string> names_;
  std::set<std::string>* outer_;
};

}  // namespace pkv::kernels
