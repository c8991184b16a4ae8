#include "engine/tensor/buffer.h"

#include <new>

namespace pkv {

void Buffer::Free::operator()(std::byte* p) const { ::operator delete(p, std::align_val_t(kAlignment)); }

Buffer::Buffer(DType dtype, std::span<const std::int64_t> shape) : view_(nullptr, dtype, shape) {
  memory_.reset(static_cast<std::byte*>(::operator new(view_.bytes(), std::align_val_t(kAlignment))));
  view_.data = memory_.get();
}

}  // namespace pkv
