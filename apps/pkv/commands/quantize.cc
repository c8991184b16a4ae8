// pkv quantize: a model's weights in 8 or 4 bits, written as transformers and bitsandbytes write them.
#include <fmt/format.h>

#include <memory>

#include "base/error.h"
#include "base/file.h"
#include "base/json_writer.h"
#include "commands/commands.h"
#include "engine/model/formats.h"
#include "engine/model/model.h"
#include "engine/model/write_checkpoint.h"
#include "exit_code.h"
#include "files/gguf/gguf.h"
#include "files/hf/hf.h"
#include "models/find.h"
#include "models/load.h"
#include "options/engine.h"
#include "options/output.h"
#include "options/shared.h"
#include "terminal/progress.h"
#include "terminal/say.h"
#include "terminal/stop.h"

namespace pkv::program {
namespace {

struct QuantizeOptions {
  std::string model, folder;
  EngineOptions engine;
  std::string storage = "uint8";
  std::uint64_t max_shard = 5'000'000'000;
  OutputOptions output;
};

model::Written write(const model::Model& model, const QuantizeOptions& options) {
  try {
    const OrderlyStop stop;
    return model::write_checkpoint(model, options.folder,
                                   {.dtype = options.engine.load_options().dtype,
                                    .storage = from_torch_name(options.storage).value(),
                                    .max_shard = options.max_shard,
                                    .progress = stop.looking(progress_bar(fmt::format("writing {}", options.folder)))});
  } catch (const StopAsked&) {
    end_stopped("stopped: nothing was written");
    throw;
  }
}

double bits(std::uint64_t bytes, std::int64_t weights) {
  return 8 * static_cast<double>(bytes) / static_cast<double>(weights);
}

std::string as_text(const QuantizeOptions& options, const model::Model& model, const model::Written& w) {
  return fmt::format("{}: {} matrices in {} at {:.2f} bits per weight; {} became {}, {:.2f} bits per parameter{}\n",
                     options.folder, w.matrices, options.engine.load_in, bits(w.quantised_bytes, w.weights),
                     megabytes(w.bytes_before), megabytes(w.bytes), bits(w.bytes, model.weights().parameters),
                     w.files.size() == 1 ? "" : fmt::format(", in {} files", w.files.size()));
}

std::string as_json(const QuantizeOptions& options, const model::Model& model, const model::Written& w) {
  const model::Inventory& found = model.weights();
  JsonWriter json;
  json.open_object();
  json.member("schema", "pkv-quantize/1");
  json.member("model", hf::display_name(options.model));
  json.member("folder", options.folder);
  json.member("format", options.engine.load_in);
  json.member("block_size", found.block == 0 ? std::optional<std::int64_t>() : found.block);
  json.member("double_quant", found.nested);
  json.member("matrices", w.matrices);
  json.member("weights", w.weights);
  json.member("parameters", found.parameters);
  json.member("not_quantised", found.plain);
  json.member("bytes_before", w.bytes_before);
  json.member("bytes", w.bytes);
  json.member("bytes_quantised", w.quantised_bytes);
  json.member("bits_per_weight", bits(w.quantised_bytes, w.weights));
  json.member("bits_per_parameter", bits(w.bytes, found.parameters));
  json.member("files", w.files);
  json.close_object();
  return json.text() + "\n";
}

int run(const QuantizeOptions& options) {
  const model::LoadOptions asked = options.engine.load_options();
  if (options.storage != "uint8" && !quant::traits(asked.quantize->format).has_blocks()) {
    fail_usage({.what = "--storage has no meaning here", .expected = "--load-in fp4 or nf4"});
  }
  FolderWriter::require_free(options.folder);
  const std::filesystem::path folder = find_model(options.model);
  if (gguf::is_gguf_file(folder)) {
    fail_usage({.what = "a GGUF file is not written in other formats",
                .where = folder.string(),
                .expected = "a model folder",
                .hint = "llama-quantize makes other types of GGUF files; --load-in of other commands needs no file"});
  }
  model::require_not_quantised(hf::Folder::open(folder));
  const model::Model model = load_model(folder, options.engine);
  const model::Written written = write(model, options);
  options.output.write(options.output.is(Form::json) ? as_json(options, model, written)
                                                     : as_text(options, model, written));
  return holds;
}

constexpr std::string_view kQuantised[] = {"int8", "fp4", "nf4"};
constexpr std::string_view kStorage[] = {"uint8", "float16", "bfloat16", "float32"};

}  // namespace

Command quantize_command() {
  auto o = std::make_shared<QuantizeOptions>();
  Command command{.name = "quantize",
                  .help = "Write a model in 8 or 4 bits, as bitsandbytes does",
                  .notes =
                      "The folder appears when it is complete. transformers with bitsandbytes load it\n"
                      "(but no Falcon), and so does pkv.",
                  .examples = {"pkv quantize tiny-gpt2 --load-in nf4 --double-quant --output-dir tiny-gpt2-nf4",
                               "pkv quantize ./my-model --load-in int8 --dtype fp16 --output-dir my-model-int8",
                               "pkv check tiny-gpt2-nf4"},
                  .run = [o] { return run(*o); }};
  command.add({model_word(o->model, "a folder, a bundled model, or a Hub model"),
               {.name = "--output-dir",
                .target = &o->folder,
                .help = "the folder to write; must not exist or be empty",
                .required = true}});
  o->engine.declare_load_in(command, kQuantised, "number format of the matrices");
  command.option("--load-in").required = true;
  command.add({.name = "--storage",
               .target = &o->storage,
               .help = "fp4, nf4: what the codes are stored as: the same bytes by another name",
               .check = one_of(kStorage),
               .shows_default = true});
  o->engine.declare_dtype(command,
                          "number format of everything else, and what the matrices are rounded to first (default: as "
                          "stored)");
  command.add({.name = "--max-shard-size",
               .target = &o->max_shard,
               .help = "the largest weight file: 500MB, 5GB, 2GiB (default: 5GB); what is larger is written in "
                       "several, with an index",
               .check = {.kind = Check::Kind::size, .least = 1},
               .value = "SIZE"});
  o->engine.declare_threads(command);
  o->output.declare(command, {Form::table, Form::json});
  return command;
}

}  // namespace pkv::program
