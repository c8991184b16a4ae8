// The values of a source's tensors, for Reader: compared, and as kernels take them.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/model/arrangement.h"
#include "engine/tensor/buffer.h"
#include "files/containers/tensor_file.h"

namespace pkv::model {

// Whether two floating-point tensors have one shape and equal values, whatever their dtypes. Reads both, until they
// differ. NaN is equal to the same bits alone.
bool same_values(const containers::Tensor& a, const containers::Tensor& b);

// fp64 is computed with as fp32.
DType dtype_to_compute_with(const containers::Tensor& t);

// Where each row lies among those of a tensor's data; null: in its place.
const std::vector<std::int64_t>* moved_rows(const Arrangement* a);
// The bytes of a tensor with moved rows [u8], each row in its place.
Buffer in_order(const containers::Tensor& t, const std::vector<std::int64_t>& rows);

// The tensor's values in that dtype, rows in their places: a view of the file, or of `copy`, which is made for it.
View values_of(const containers::Tensor& t, const Arrangement* a, Buffer& copy);

// Finite elements that the dtype has no finite number for, once they are rounded.
std::int64_t count_beyond(const containers::Tensor& t, DType dtype);

// Elements that are NaN or infinite.
std::int64_t count_not_finite(const containers::Tensor& t);

}  // namespace pkv::model
