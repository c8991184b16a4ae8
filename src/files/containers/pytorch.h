// A PyTorch checkpoint (pytorch_model.bin): the zip archive that torch.save writes since version 1.6, with a pickled
// state dict and one entry per storage. Its tensors are Views into the mapped file; nothing in it is run. Refused, with
// what to do: older files, TorchScript programs, training checkpoints, big-endian data. docs/checkpoints.md says more.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "files/containers/tensor_file.h"

namespace pkv::containers {

// Opening reads the archive's directory and the pickle. Data is read only for tensors that are not dense in their
// storage (a transposed view, say): those are copied, which may take as much memory as the file has bytes.
// Tensors are in the order of the state dict; several may share data.
TensorFile open_pytorch(const std::filesystem::path& path);

// The same from memory, so that it can be fuzzed without files. Tensors have no file.
struct PyTorchTensors {
  std::vector<Tensor> tensors;
  std::vector<Unreadable> unreadable;
  std::vector<Other> others;
  std::vector<std::string> notes;
  std::vector<std::unique_ptr<std::byte[]>> copies;  // data of the tensors that were not dense
};
PyTorchTensors read_pytorch(std::span<const std::byte> bytes, std::string_view file);

}  // namespace pkv::containers
