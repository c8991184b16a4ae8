// Pasts of our engine outside of the process: files in a folder of their own, which is gone with this object.
#pragma once

#include <filesystem>

#include "engine/model/model.h"
#include "engine/model/past_file.h"

namespace pkv::subjects {

class SavedPasts {
 public:
  // In `scratch`; empty: where the system keeps temporary files. Nothing is made before it is needed.
  SavedPasts(std::filesystem::path scratch, model::PastFileOptions options)
      : scratch_(std::move(scratch)), options_(std::move(options)) {}
  ~SavedPasts();
  SavedPasts(const SavedPasts&) = delete;
  SavedPasts& operator=(const SavedPasts&) = delete;

  // Whether pasts of that model can be saved at all.
  static bool can_save(const model::Model& model);

  const model::PastFileOptions& options() const { return options_; }
  // A file's path that nobody has. Error::load when there is no folder for it.
  std::filesystem::path next();

 private:
  std::filesystem::path scratch_, folder_;
  model::PastFileOptions options_;
  int count_ = 0;
};

}  // namespace pkv::subjects
