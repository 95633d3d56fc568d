#include "lyre/engine/inspect.h"

#include <array>
#include <map>
#include <memory>
#include <system_error>

#include "lyre/codec/open_codec.h"
#include "lyre/codec/snac_config.h"
#include "lyre/codec/snac_weights.h"
#include "lyre/engine/open_prompts.h"
#include "lyre/lm/llama_weights.h"
#include "lyre/lm/open_language_model.h"
#include "lyre/tensor/tensor_archive.h"

namespace lyre {
namespace {

namespace fs = std::filesystem;

bool is_file(const fs::path& file) {
  std::error_code error;
  return fs::is_regular_file(file, error);
}

/// The type that most bytes have; norms and biases are often kept in another.
std::string dtype_of_most(const TensorArchive& archive) {
  std::map<DType, int64_t> bytes;
  for (const auto& [name, view] : archive.tensors()) bytes[view.dtype] += view.size_bytes();
  DType most = DType::kF32;
  for (const auto& [dtype, count] : bytes) {
    if (count > bytes[most]) most = dtype;
  }
  return dtype_name(most);
}

/// The special tokens that the family names, with the ids that the tokenizer has for them.
std::vector<std::pair<std::string, int>> special_ids(const PromptFamily& family,
                                                     const Tokenizer& tokenizer) {
  std::vector<std::pair<std::string, int>> ids;
  const auto add = [&](const char* role, const std::string& name) {
    if (const auto id = tokenizer.find(name)) ids.emplace_back(std::string(role) + " " + name, *id);
  };
  for (const std::string& name : family.prefix) add("prefix", name);
  for (const std::string& name : family.suffix) add("suffix", name);
  for (const std::string& name : family.stop) add("stop", name);
  add("first code", family.first_code);
  return ids;
}

Status report_voices(const fs::path& folder, LanguageModelReport& report) {
  LYRE_ASSIGN_OR_RETURN(Tokenizer loaded, Tokenizer::load(folder / "tokenizer.json"));
  const auto tokenizer = std::make_shared<const Tokenizer>(std::move(loaded));
  report.tokenizer_entries = tokenizer->vocabulary_size();
  report.tokenizer = "byte-level BPE, " + std::to_string(report.tokenizer_entries) + " entries";
  EngineConfig config;
  config.model = folder;
  const auto setup = choose_voice_setup(config, tokenizer);
  if (!setup) {
    report.family_problem = setup.error().message;
    return ok_status();
  }
  report.family = setup->family.name;
  report.special_ids = special_ids(setup->family, *tokenizer);
  report.voices = voice_infos(setup->family.voices);
  report.default_voice = setup->family.default_voice;
  return ok_status();
}

Result<LanguageModelReport> inspect_language_model(const fs::path& folder) {
  LanguageModelReport report;
  report.folder = folder;
  {
    LYRE_ASSIGN_OR_RETURN(const LlamaWeights weights, open_llama_weights(folder));
    report.architecture = "LlamaForCausalLM";  // no other is opened
    report.layers = weights.config.layers;
    report.hidden = weights.config.hidden;
    report.heads = weights.config.heads;
    report.kv_heads = weights.config.kv_heads;
    report.head_dim = weights.config.head_dim;
    report.ffn = weights.config.ffn;
    report.vocabulary = weights.config.vocabulary;
    report.tied_embeddings = weights.config.tied_embeddings;
    report.parameters = weights.parameters();
    report.dtype = dtype_of_most(weights.archive);
    report.weight_bytes = weights.size_bytes();
  }
  // How the backend keeps the KV cache, it says itself; one sequence costs little to ask.
  ThreadPool threads(1);
  LanguageModelOptions options;
  options.folder = folder;
  options.max_sequences = 1;
  LYRE_ASSIGN_OR_RETURN(const auto model, open_language_model(options, threads));
  const EngineConfig defaults;
  report.kv_bytes_per_token = model->info().kv_bytes_per_token;
  report.kv_bytes = report.kv_bytes_per_token * model->kv_tokens_for(defaults.max_sequence_tokens) *
                    defaults.max_batch;
  LYRE_RETURN_IF_ERROR(report_voices(folder, report));
  return report;
}

Result<CodecReport> inspect_codec(const fs::path& folder) {
  CodecReport report;
  report.folder = folder;
  LYRE_ASSIGN_OR_RETURN(const SnacConfig config, read_snac_config(folder / "config.json"));
  report.sample_rate_hz = config.sampling_rate_hz;
  report.codebooks = config.levels();
  report.codebook_size = config.codebook_size;
  report.vq_strides = config.vq_strides;
  report.decoder_rates = config.decoder_rates;
  report.samples_per_frame = config.samples_per_frame();
  {
    const fs::path safetensors = folder / "model.safetensors";
    LYRE_ASSIGN_OR_RETURN(const TensorArchive archive,
                          is_file(safetensors)
                              ? open_safetensors(safetensors)
                              : open_torch_checkpoint(folder / "pytorch_model.bin"));
    report.dtype = dtype_of_most(archive);
  }
  ThreadPool threads(1);
  CodecOptions options;
  options.folder = folder;
  options.max_streams = 1;
  LYRE_ASSIGN_OR_RETURN(const auto codec, open_codec(options, threads));
  report.parameters = codec->info().parameters;
  report.weight_bytes = codec->info().weight_bytes;
  report.stream_state_bytes = codec->info().stream_state_bytes;
  report.final_delay_samples = codec->info().final_delay_samples;
  report.has_encoder = load_snac_encoder(folder).ok();
  return report;
}

/// A SNAC folder has the encoder's and the decoder's rates in its config.json, a language model has
/// a tokenizer or shards of weights beside it.
bool looks_like_codec(const fs::path& folder) {
  return is_file(folder / "config.json") && !is_file(folder / "tokenizer.json") &&
         read_snac_config(folder / "config.json").ok();
}

}  // namespace

Result<ModelReport> inspect_model(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_directory(folder, error)) {
    return Error{ErrorCode::kNotFound, folder.string() + ": expected a folder"};
  }
  ModelReport report;
  if (is_file(folder / "config.json")) {
    if (looks_like_codec(folder)) {
      LYRE_ASSIGN_OR_RETURN(report.codec, inspect_codec(folder));
    } else {
      LYRE_ASSIGN_OR_RETURN(report.language_model, inspect_language_model(folder));
    }
    return report;
  }
  if (fs::is_directory(folder / "lm", error)) {
    LYRE_ASSIGN_OR_RETURN(report.language_model, inspect_language_model(folder / "lm"));
  }
  if (fs::is_directory(folder / "codec", error)) {
    LYRE_ASSIGN_OR_RETURN(report.codec, inspect_codec(folder / "codec"));
  }
  if (!report.language_model && !report.codec) {
    return Error{ErrorCode::kNotFound,
                 folder.string() +
                     ": expected the config.json of a language model or a codec, or the folders lm "
                     "and codec of a voice; found none of them"};
  }
  return report;
}

}  // namespace lyre
