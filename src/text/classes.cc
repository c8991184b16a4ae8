#include "text/classes.h"

#include <algorithm>
#include <array>

#include "text/json.h"

namespace pkv::text {
namespace {

constexpr std::string_view kGpt2Tokens = "bos_token <|endoftext|> eos_token <|endoftext|> unk_token <|endoftext|>";
constexpr std::string_view kQwenTokens = "eos_token <|endoftext|> unk_token <|endoftext|> pad_token <|endoftext|>";

// PREFIX stands for add_prefix_space, SCHEME for the prepend_scheme that follows from it and from legacy, and STRIP for
// a decoder that takes the added space away again.
constexpr std::string_view kByteLevelParts =
    R"({"model":{"type":"BPE"},"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":PREFIX,"trim_offsets":true},)"
    R"("decoder":{"type":"ByteLevel"}})";
constexpr std::string_view kNeoxParts =
    R"({"model":{"type":"BPE"},"normalizer":{"type":"NFC"},)"
    R"("pre_tokenizer":{"type":"ByteLevel","add_prefix_space":PREFIX,"trim_offsets":true},)"
    R"("decoder":{"type":"ByteLevel"}})";
constexpr std::string_view kCohereParts =
    R"({"model":{"type":"BPE"},"normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"Sequence","pretokenizers":[)"
    R"({"type":"Digits","individual_digits":true},)"
    R"({"type":"ByteLevel","add_prefix_space":PREFIX,"trim_offsets":true}]},"decoder":{"type":"ByteLevel"}})";
constexpr std::string_view kQwen2Parts =
    R"({"model":{"type":"BPE"},"normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"Sequence","pretokenizers":[)"
    R"({"type":"Split","pattern":{"Regex":"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N})"
    R"(| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},)"
    R"({"type":"ByteLevel","add_prefix_space":PREFIX,"trim_offsets":true,"use_regex":false}]},)"
    R"("decoder":{"type":"ByteLevel"}})";
constexpr std::string_view kQwen35Parts =
    R"({"model":{"type":"BPE"},"normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"Sequence","pretokenizers":[)"
    R"({"type":"Split","pattern":{"Regex":"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N})"
    R"(| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"},"behavior":"Isolated","invert":false},)"
    R"({"type":"ByteLevel","add_prefix_space":PREFIX,"trim_offsets":true,"use_regex":false}]},)"
    R"("decoder":{"type":"ByteLevel"}})";
constexpr std::string_view kLlamaParts =
    R"({"model":{"type":"BPE","fuse_unk":true,"byte_fallback":true},)"
    R"("pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"SCHEME","split":false},)"
    R"("decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},)"
    R"({"type":"ByteFallback"},{"type":"Fuse"}STRIP]}})";
constexpr std::string_view kGemmaParts =
    R"({"model":{"type":"BPE","fuse_unk":true,"byte_fallback":true},)"
    R"("normalizer":{"type":"Replace","pattern":{"String":" "},"content":"▁"},)"
    R"("pre_tokenizer":{"type":"Split","pattern":{"String":" "},"behavior":"MergedWithPrevious","invert":false},)"
    R"("decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},)"
    R"({"type":"ByteFallback"},{"type":"Fuse"}]}})";
// CHINESE, ACCENTS and LOWER stand for the settings of that meaning.
constexpr std::string_view kBertParts =
    R"({"model":{"type":"WordPiece","continuing_subword_prefix":"##","max_input_chars_per_word":100},)"
    R"("normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":CHINESE,"strip_accents":ACCENTS,)"
    R"("lowercase":LOWER},"pre_tokenizer":{"type":"BertPreTokenizer"},)"
    R"("decoder":{"type":"WordPiece","prefix":"##","cleanup":true}})";
constexpr std::string_view kStrip = R"(,{"type":"Strip","content":" ","start":1,"stop":0})";

constexpr std::string_view kBackend = "TokenizersBackend", kRoberta = "RobertaTokenizer";

constexpr std::array<TokenizerClass, 12> kClasses{{
    {.name = kBackend, .tokens = "", .parts = "", .reads_pieces = true},
    {.name = "GPT2Tokenizer", .tokens = kGpt2Tokens, .parts = kByteLevelParts, .reads_merges = true},
    {.name = "CodeGenTokenizer", .tokens = kGpt2Tokens, .parts = kByteLevelParts, .reads_merges = true},
    {.name = kRoberta,
     .tokens = "bos_token <s> eos_token </s> unk_token <unk> sep_token </s> pad_token <pad> cls_token <s> "
               "mask_token <mask>",
     .parts = kByteLevelParts,
     .frame = Frame::roberta,
     .reads_merges = true},
    {.name = "GPTNeoXTokenizer",
     .tokens = "bos_token <|endoftext|> eos_token <|endoftext|> unk_token <|endoftext|> pad_token <|padding|>",
     .parts = kNeoxParts,
     .frame = Frame::rebuilt,
     .reads_merges = true},
    {.name = "LlamaTokenizer",
     .tokens = "bos_token <s> eos_token </s> unk_token <unk>",
     .parts = kLlamaParts,
     .reads_pieces = true},
    {.name = "CodeLlamaTokenizer",
     .tokens = "bos_token <s> eos_token </s> unk_token <unk> prefix_token ▁<PRE> middle_token ▁<MID> "
               "suffix_token ▁<SUF> eot_token ▁<EOT> fill_token <FILL_ME>",
     .parts = kLlamaParts,
     .frame = Frame::rebuilt,
     .reads_pieces = true,
     .adds_bos = true,
     .unk_in_model = true},
    {.name = "GemmaTokenizer",
     .tokens = "bos_token <bos> eos_token <eos> unk_token <unk> pad_token <pad> mask_token <mask>",
     .parts = kGemmaParts,
     .reads_pieces = true,
     .unk_in_model = true},
    {.name = "Qwen2Tokenizer",
     .tokens = kQwenTokens,
     .parts = kQwen2Parts,
     .reads_merges = true,
     .again = Again::without_flags},
    {.name = "Qwen3_5Tokenizer", .tokens = kQwenTokens, .parts = kQwen35Parts, .reads_merges = true},
    {.name = "CohereTokenizer",
     .tokens = "bos_token <BOS_TOKEN> eos_token <|END_OF_TURN_TOKEN|> unk_token <UNK> sep_token <SEP> "
               "pad_token <PAD> cls_token <CLS> mask_token <MASK_TOKEN>",
     .parts = kCohereParts,
     .again = Again::as_special},
    {.name = "BertTokenizer",
     .tokens = "unk_token [UNK] sep_token [SEP] pad_token [PAD] cls_token [CLS] mask_token [MASK]",
     .parts = kBertParts,
     .frame = Frame::roberta,
     .reads_words = true,
     .unk_in_model = true},
}};

// Which class belongs to which model_type; those of encoders and of speech are left out.
struct Belongs {
  std::string_view name, model_types;
};
constexpr Belongs kBelongs[] = {
    {"GPT2Tokenizer",
     " blip-2 codegen dbrx emu3 gpt2 gpt_neo gptj hyperclovax_vision_v2 instructblip instructblipvideo jais2 opt phi "
     "starcoder2 "},
    {kRoberta,
     " bart bridgetower clap data2vec-text ibert lilt longformer mega mra roberta roberta-prelayernorm led mvp "},
    {"GPTNeoXTokenizer", " falcon_mamba gpt_neox mamba mamba2 mpt olmo olmoe rwkv xlstm "},
    {"LlamaTokenizer", " idefics idefics2 "},
    {"CodeLlamaTokenizer", " code_llama "},
    {"GemmaTokenizer",
     " diffusion_gemma gemma gemma2 gemma3 gemma3_text gemma3n gemma3n_text recurrent_gemma shieldgemma2 t5gemma "
     "zaya "},
    {"Qwen2Tokenizer",
     " audioflamingo3 colqwen2 cosmos3_omni dots3_note fun_asr_nano hunyuan_vl internvl lighton_ocr ovis2 qianfan_ocr "
     "qwen2 qwen2_5_omni qwen2_5_vl qwen2_audio qwen2_moe qwen2_vl qwen3 qwen3_asr qwen3_moe qwen3_next "
     "qwen3_omni_moe qwen3_vl qwen3_vl_moe moss_transcribe_diarize vibevoice "},
    {"Qwen3_5Tokenizer", " qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen3_5_text qwen4_exp "},
    {"CohereTokenizer", " aya_vision cohere cohere2 "},
    {"BertTokenizer", " bert ernie megatron-bert nezha qdqbert "},
    {"XLMRobertaTokenizer", " gte jina_embeddings_v3 metaclip_2 trocr xlm-roberta xmod "},
    {"CamembertTokenizer", " camembert "},
    {"T5Tokenizer", " mt5 musicgen musicgen_melody switch_transformers t5 "},
    {kBackend,
     " arctic aria beam bigbird_pegasus canary chatlm cohere_asr ernie4_5 ernie4_5_moe flex_olmo fuyu glm glm4 "
     "glm4_moe glm4_moe_lite glm4v glm4v_moe glm_image glmasr got_ocr2 gpt_bigcode gradium_phonon_tts granite "
     "granitemoe granitemoehybrid granitemoeshared h2ovl_chat hyperclovax hyperclovax_vlm internlm2 internlm3 "
     "iquestcoder jamba kimi_k25 kimi_linear kosmos-2 llava llava_next mimo_v2_flash minicpm3 minicpm_ocr minicpmv "
     "minicpmv4_6 minicpmv4_7 minimax_m2 modernbert modernbert-decoder molmo molmo2 nemo_speechlm nemotron nvfp4 "
     "nystromformer olmo2 olmo3 olmo_hybrid omniasr opencua openvla paddleocr_vl pegasus_x persimmon phi3 phi3_v "
     "phimoe pix2struct pocket_tts smolvlm stablelm step3_vl umt5 vipllava xlm-roberta-xl "},
    // Mistral's own tokenizer of tekken.json, where mistral-common is installed; else what tokenizer.json says.
    {kBackend, " ministral ministral3 mistral mistral3 mistral_large4 mixtral pixtral voxtral voxtral_realtime "},
};
constexpr std::string_view kMistral = kBelongs[std::size(kBelongs) - 1].model_types;

// Of these transformers knows a tokenizer but no model, so that the type alone does not lead to it.
constexpr std::string_view kNoModels = " code_llama mega ";

// Models whose folders on the Hub name a wrong class.
constexpr std::string_view kWrongOnHub =
    " arctic camembertv2-base chatlm cohere_asr ernie4_5 ernie4_5_moe fuyu h2ovl_chat hyperclovax "
    "hyperclovax_vision_v2 hyperclovax_vlm internlm2 internlm3 iquestcoder jamba llava llava_next minicpm3 minicpmv "
    "minimax_m2 modernbert modernbert-decoder molmo molmo2 nemotron nvfp4 opencua openvla paddleocr_vl phi3 phi3_v "
    "phimoe qwen2 qwen3_5 qwen3_5_moe qwen3_5_moe_text qwen4_exp siglip2 smolvlm step3_vl vipllava ";

bool holds(std::string_view words, std::string_view word) {
  return !word.empty() && words.find(" " + std::string(word) + " ") != words.npos;
}

// Empty where transformers knows none.
std::string_view class_of(std::string_view model_type) {
  const auto* found = std::find_if(std::begin(kBelongs), std::end(kBelongs),
                                   [&](const Belongs& b) { return holds(b.model_types, model_type); });
  return found == std::end(kBelongs) ? std::string_view() : found->name;
}

std::string_view without_fast(std::string_view name) {
  return name.ends_with("Fast") ? name.substr(0, name.size() - 4) : name;
}

// Names that stand for the class that takes what the file says.
bool means_backend(std::string_view name) {
  constexpr std::string_view names[] = {kBackend, "PreTrainedTokenizer", "PythonBackend", "BloomTokenizer"};
  return std::find(std::begin(names), std::end(names), without_fast(name)) != std::end(names);
}

// Classes of transformers that are not known here; of any other unknown name transformers takes the backend.
constexpr std::string_view kOthers =
    " AlbertTokenizer BarthezTokenizer BertGenerationTokenizer BertJapaneseTokenizer BertweetTokenizer "
    "BigBirdTokenizer BioGptTokenizer BlenderbotTokenizer BlenderbotSmallTokenizer ByT5Tokenizer CLIPTokenizer "
    "CTRLTokenizer CamembertTokenizer CanineTokenizer CpmTokenizer CpmAntTokenizer DebertaTokenizer "
    "DebertaV2Tokenizer DistilBertTokenizer ElectraTokenizer EsmTokenizer FNetTokenizer FSMTTokenizer "
    "FlaubertTokenizer FunnelTokenizer GPTNeoXJapaneseTokenizer GPTSw3Tokenizer HerbertTokenizer LayoutLMv3Tokenizer "
    "LukeTokenizer LxmertTokenizer M2M100Tokenizer MBart50Tokenizer MBartTokenizer MPNetTokenizer MarianTokenizer "
    "MobileBertTokenizer NllbTokenizer NougatTokenizer OpenAIGPTTokenizer PLBartTokenizer PegasusTokenizer "
    "PerceiverTokenizer PhobertTokenizer ProphetNetTokenizer ReformerTokenizer RemBertTokenizer RoFormerTokenizer "
    "SeamlessM4TTokenizer Siglip2Tokenizer SiglipTokenizer SplinterTokenizer T5Tokenizer UdopTokenizer "
    "WhisperTokenizer XGLMTokenizer XLMRobertaTokenizer XLMTokenizer XLNetTokenizer ";

const TokenizerClass* find_class(std::string_view name) {
  std::string_view plain = without_fast(name);
  if (means_backend(name)) plain = kBackend;
  for (const std::string_view same : {"BartTokenizer", "LEDTokenizer", "MvpTokenizer", "LongformerTokenizer"}) {
    if (plain == same) plain = kRoberta;
  }
  const auto* found =
      std::find_if(kClasses.begin(), kClasses.end(), [&](const TokenizerClass& c) { return c.name == plain; });
  return found == kClasses.end() ? nullptr : found;
}

const TokenizerClass& take(std::string_view name, std::string& unknown) {
  const TokenizerClass* found = find_class(name);
  if (found == nullptr && holds(kOthers, without_fast(name))) unknown = std::string(name);
  return found != nullptr ? *found : kClasses.front();
}

std::string replaced(std::string text, std::string_view word, std::string_view by) {
  for (std::size_t at = text.find(word); at != text.npos; at = text.find(word, at + by.size())) {
    text.replace(at, word.size(), by);
  }
  return text;
}

std::string_view scheme_of(const TokenizerClass& c, bool prefix, const Settings& s) {
  if (!prefix) return "never";
  return s.legacy.value_or(false) && c.name == "LlamaTokenizer" ? "always" : "first";
}

// Without what has no influence on ids, and with one spelling for one meaning.
Json plain(const Json& json) {
  if (json.is_array()) {
    Json::Array elements;
    for (const Json& e : json.elements()) elements.push_back(plain(e));
    return elements;
  }
  if (!json.is_object()) return json;
  Json::Object members;
  for (const auto& [key, value] : json.members()) {
    const bool default_flag = value.is_flag() && !value.flag() && key != "use_regex" && key != "split";
    const bool default_true = (key == "use_regex" || key == "split") && value.is_flag() && value.flag();
    const bool empty = value.is_null() || (value.is_text() && value.text().empty());
    if (key == "trim_offsets" || default_flag || default_true || empty) continue;
    if (key == "dropout" && value.is_number() && value.number() == 0) continue;
    members[key] = plain(value);
  }
  for (const char* steps : {"normalizers", "pretokenizers", "processors", "decoders"}) {
    const auto list = members.find(steps);
    if (list == members.end() || !list->second.is_array()) continue;
    if (list->second.size() == 1) return Json(list->second.elements().front());
    if (list->second.empty()) return Json();
  }
  return members;
}

}  // namespace

const TokenizerClass& choose_class(const Settings& s, bool byte_level, std::string& unknown) {
  const std::string_view declared = s.tokenizer_class.empty() ? s.class_of_model : s.tokenizer_class;
  const std::string_view registered = class_of(s.model_type);
  const bool wrong = holds(kWrongOnHub, s.model_type);
  if (!s.own_code && !declared.empty()) {
    const bool llama = without_fast(declared) == "LlamaTokenizer";
    if (llama && byte_level && !wrong && !holds(kMistral, s.model_type)) return kClasses.front();
    if (!registered.empty() && registered != without_fast(declared)) {
      return registered == kBackend ? kClasses.front() : take(wrong ? registered : declared, unknown);
    }
  }
  if (!declared.empty()) return take(declared, unknown);
  const bool by_type = !registered.empty() && !holds(kNoModels, s.model_type);
  return by_type ? take(registered, unknown) : kClasses.front();
}

Json parts_of(const TokenizerClass& c, const Settings& s, std::string_view unk_token) {
  const bool llama = c.parts == kLlamaParts;
  const bool prefix = s.says_add_prefix_space ? s.add_prefix_space : llama;
  std::string text = replaced(std::string(c.parts), "PREFIX", prefix ? "true" : "false");
  text = replaced(text, "SCHEME", scheme_of(c, prefix, s));
  const auto spelled = [](bool flag) { return flag ? "true" : "false"; };
  text = replaced(text, "CHINESE", spelled(s.tokenize_chinese_chars));
  text = replaced(text, "ACCENTS", s.strip_accents ? spelled(*s.strip_accents) : "null");
  text = replaced(text, "LOWER", spelled(s.do_lower_case));
  text = replaced(text, "STRIP", prefix || c.name == "CodeLlamaTokenizer" ? kStrip : "");
  Json parts = read_json(text, c.name);
  if (c.unk_in_model) parts.members()["model"].members()["unk_token"] = unk_token;
  return parts;
}

std::string differences(const Json& a, const Json& b) {
  std::string names;
  const auto part = [](const Json& json, std::string_view key) {
    const Json* found = json.find(key);
    if (found == nullptr) return Json();
    const Json* type = found->find("type");
    const bool bytes = type != nullptr && type->is_text() && type->text() == "ByteLevel";
    if (key == "decoder" && bytes) return Json(Json::Object{{"type", *type}});  // its flags mean nothing here
    return plain(*found);
  };
  for (const char* key : {"normalizer", "pre_tokenizer", "model", "decoder"}) {
    if (part(a, key) == part(b, key)) continue;
    names += (names.empty() ? "" : ", ") + std::string(key);
  }
  return names;
}

}  // namespace pkv::text
