// Inventory: what a model's weights amount to: counts, bytes and number formats as they are kept in memory. Filled by
// Reader while a page loads; holds no weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/quant/quant.h"

namespace pkv::model {

// A matrix that loading has quantised, for those who want to write it down.
struct QuantizedMatrix {
  std::string name;      // its tensor's in the source
  quant::Matrix matrix;  // on the backend
  std::optional<quant::NestedScales> nested = {};
};

// Matrices that states are multiplied by, not the tables that a token's row is taken from.
struct Products {
  std::int64_t weights = 0;  // multiply-adds for each row
  std::size_t bytes = 0;     // read by a call of one row, with scales
};

struct Inventory {
  std::int64_t parameters = 0;  // elements of the tensors used, each once
  std::size_t bytes = 0;        // bytes of all matrices, with their scales
  DType dtype = DType::bf16;    // dtype of the matrices that are not quantised; the widest where they differ
  bool as_stored = true;        // `dtype` was not asked for
  std::optional<quant::Format>
      quantized{};  // format of the quantised matrices, where there are any; that of most bytes
  std::map<quant::Format, std::size_t> formats{};  // bytes of the quantised matrices in each
  std::int64_t block = 0;                          // largest block of quantised matrices whose blocks share scales
  bool nested = false;               // whether scales of any matrix are kept in 8 bits (double quantisation)
  bool as_ggml = false;              // whether activations are rounded as ggml rounds them, before any product
  std::vector<std::string> plain{};  // layers ("transformer.h.0.mlp.c_fc") that are not quantised
  std::string output{};              // the output layer ("lm_head"), which never is quantised
  Products products{};               // products of all layers but the output layer
  Products output_product{};

  // Rows of activations are multiplied as codes, with outliers apart.
  bool splits_outliers() const { return quantized && quant::traits(*quantized).product == quant::Product::of_codes; }
  std::string_view format() const { return quantized ? quant::name_of(*quantized) : name_of(dtype); }
  std::string describe() const;  // "nf4 in blocks of 64, double quantised"; "Q4_K, Q6_K", those of most bytes first
};

}  // namespace pkv::model
