// Arranged: a source whose files lay tensors out in another way than a model's own folder has them. Whoever reads a
// tensor's values undoes it.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/model/source.h"

namespace pkv::model {

struct Arrangement {
  std::vector<std::int64_t> rows = {};  // row i of the tensor is row rows[i] of its data; empty: row i
  bool one_added = false;               // each value is stored with 1 added
  bool turned = false;                  // [out, in], where the folder has [in, out]
  bool widened = false;                 // in fp32, whatever the model's matrices are in
};

class Arranged {
 public:
  virtual ~Arranged() = default;
  // Null: as it is. `tensor` is one of the source's.
  virtual const Arrangement* arrangement_of(const containers::Tensor& tensor) const = 0;
};

// That of a tensor of any source; null where there is none.
const Arrangement* arrangement_of(const Source& source, const containers::Tensor& tensor);

}  // namespace pkv::model
