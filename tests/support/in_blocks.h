// A bundled model whose matrices lie in ggml's formats, as in a GGUF file; or its twin in fp32, of what these stand
// for. The values are random.
#pragma once

#include <algorithm>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "engine/model/source.h"
#include "files/hf/hf.h"
#include "support/blocks.h"
#include "support/places.h"

namespace pkv::support {

class InBlocks final : public model::Source {
 public:
  // Matrices whose rows are whole blocks get the first format that fits.
  InBlocks(std::string_view model, const std::vector<quant::Format>& formats, bool decoded = false)
      : folder_(hf::Folder::open(source() / "models" / model)) {
    for (const containers::Tensor& t : folder_.tensors()) {
      tensors_.push_back(t);
      const auto fits = [&](quant::Format f) { return t.shape[1] % quant::layout_of(f).weights == 0; };
      const auto format = t.shape.size() == 2 ? std::ranges::find_if(formats, fits) : formats.end();
      if (format != formats.end()) replace(tensors_.back(), *format, decoded);
    }
  }

  containers::Tensor& at(std::string_view name) {
    return *std::ranges::find(tensors_, name, &containers::Tensor::name);
  }

  const std::filesystem::path& path() const override { return folder_.path(); }
  std::string name() const override { return "in blocks"; }
  const hf::Config& config() const override { return folder_.config(); }
  const hf::Config* generation_config() const override { return nullptr; }
  std::span<const containers::Tensor> tensors() const override { return tensors_; }
  std::span<const containers::Unreadable> unreadable() const override { return {}; }
  std::span<const std::string> notes() const override { return {}; }
  std::vector<hf::TokenizerPart> tokenizer() const override { return folder_.tokenizer(); }
  const containers::Tensor* find(std::string_view name) const override {
    const auto found = std::ranges::find(tensors_, name, &containers::Tensor::name);
    return found == tensors_.end() ? nullptr : &*found;
  }

 private:
  void replace(containers::Tensor& t, quant::Format format, bool decoded) {
    const std::int64_t elements = t.shape[0] * t.shape[1];
    std::vector<std::byte> bytes = random_blocks(format, elements, tensors_.size());
    t.dtype = decoded ? DType::f32 : DType::u8;
    if (!decoded) t.format = format;
    if (decoded) {
      quant::Matrix m{.format = format, .out = t.shape[0], .in = t.shape[1]};
      m.codes = m.codes_in(bytes.data());
      std::vector<std::byte> values(static_cast<std::size_t>(elements) * sizeof(float));
      quant::decode(m, 0, 0, {reinterpret_cast<float*>(values.data()), static_cast<std::size_t>(elements)});
      bytes = std::move(values);
    }
    t.data = kept_.emplace_back(std::move(bytes));
  }

  hf::Folder folder_;
  std::vector<containers::Tensor> tensors_;
  std::deque<std::vector<std::byte>> kept_;
};

}  // namespace pkv::support
