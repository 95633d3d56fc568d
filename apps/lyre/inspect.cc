// lyre inspect: what lies in a folder, before anything is loaded.
#include <boost/json.hpp>
#include <cstdio>
#include <iostream>
#include <memory>

#include "lyre/engine/inspect.h"
#include "lyre/exit_code.h"
#include "lyre/json_text.h"
#include "lyre/subcommand.h"

namespace lyre::command {
namespace json = boost::json;
namespace {

struct InspectOptions {
  std::string folder;
  bool as_json = false;
};

std::string megabytes(int64_t bytes) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f MB", static_cast<double>(bytes) / 1e6);
  return text;
}

std::string millions(int64_t count) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f M", static_cast<double>(count) / 1e6);
  return text;
}

std::string joined(const std::vector<int>& numbers) {
  std::string text;
  for (const int number : numbers) text += (text.empty() ? "" : ", ") + std::to_string(number);
  return text;
}

void print_row(const char* name, const std::string& value) {
  std::cout << "  " << name
            << std::string(30 - std::min<size_t>(29, std::string_view(name).size()), ' ') << value
            << '\n';
}

void print(const LanguageModelReport& report) {
  std::cout << "Language model  " << report.folder.string() << '\n';
  print_row("architecture", report.architecture);
  print_row("parameters", millions(report.parameters) + ", " + report.dtype + ", " +
                              megabytes(report.weight_bytes));
  print_row("layers", std::to_string(report.layers) + " of width " + std::to_string(report.hidden) +
                          ", feed-forward " + std::to_string(report.ffn));
  print_row("heads", std::to_string(report.heads) + ", " + std::to_string(report.kv_heads) +
                         " for keys and values, of " + std::to_string(report.head_dim));
  print_row("vocabulary", std::to_string(report.vocabulary) +
                              (report.tied_embeddings ? ", embeddings tied" : ""));
  print_row("KV memory", megabytes(report.kv_bytes) + " by default, " +
                             std::to_string(report.kv_bytes_per_token) + " bytes a token");
  print_row("memory needed", megabytes(report.weight_bytes + report.kv_bytes));
  print_row("tokenizer", report.tokenizer);
  print_row("prompt family",
            report.family.empty() ? "none: " + report.family_problem : report.family);
  for (const auto& [name, id] : report.special_ids) print_row(name.c_str(), std::to_string(id));
  std::string voices;
  for (const VoiceInfo& voice : report.voices) voices += (voices.empty() ? "" : ", ") + voice.name;
  print_row("voices",
            voices.empty() ? "any name" : voices + " (default " + report.default_voice + ")");
}

void print(const CodecReport& report) {
  std::cout << "Codec  " << report.folder.string() << '\n';
  print_row("sample rate", std::to_string(report.sample_rate_hz) + " Hz");
  print_row("parameters", millions(report.parameters) + " to decode, " + report.dtype + ", " +
                              megabytes(report.weight_bytes));
  print_row("codebooks",
            std::to_string(report.codebooks) + " of " + std::to_string(report.codebook_size));
  print_row("strides", joined(report.vq_strides));
  print_row("decoder rates", joined(report.decoder_rates));
  print_row("samples a frame", std::to_string(report.samples_per_frame));
  print_row("state of a stream", megabytes(report.stream_state_bytes));
  print_row("delay", std::to_string(report.final_delay_samples) + " samples until final");
  print_row("encoder", report.has_encoder ? "yes" : "no");
}

json::value text_or_null(const std::string& text) {
  return text.empty() ? json::value(nullptr) : json::value(text);
}

json::object to_json(const LanguageModelReport& report) {
  json::array voices;
  for (const VoiceInfo& voice : report.voices) {
    voices.push_back(json::object{{"name", voice.name},
                                  {"description", voice.description},
                                  {"language", voice.language},
                                  {"gender", voice.gender}});
  }
  json::object ids;
  for (const auto& [name, id] : report.special_ids) ids[name] = id;
  return {{"folder", report.folder.string()},
          {"architecture", report.architecture},
          {"layers", report.layers},
          {"hidden", report.hidden},
          {"heads", report.heads},
          {"kv_heads", report.kv_heads},
          {"head_dim", report.head_dim},
          {"ffn", report.ffn},
          {"vocabulary", report.vocabulary},
          {"tied_embeddings", report.tied_embeddings},
          {"parameters", report.parameters},
          {"dtype", report.dtype},
          {"weight_bytes", report.weight_bytes},
          {"kv_bytes_per_token", report.kv_bytes_per_token},
          {"kv_bytes", report.kv_bytes},
          {"tokenizer", report.tokenizer},
          {"tokenizer_entries", report.tokenizer_entries},
          {"family", text_or_null(report.family)},
          {"family_problem", text_or_null(report.family_problem)},
          {"special_ids", std::move(ids)},
          {"voices", std::move(voices)},
          {"default_voice", text_or_null(report.default_voice)}};
}

json::object to_json(const CodecReport& report) {
  return {{"folder", report.folder.string()},
          {"sample_rate_hz", report.sample_rate_hz},
          {"codebooks", report.codebooks},
          {"codebook_size", report.codebook_size},
          {"vq_strides", json::value_from(report.vq_strides)},
          {"decoder_rates", json::value_from(report.decoder_rates)},
          {"samples_per_frame", report.samples_per_frame},
          {"parameters", report.parameters},
          {"dtype", report.dtype},
          {"weight_bytes", report.weight_bytes},
          {"stream_state_bytes", report.stream_state_bytes},
          {"final_delay_samples", report.final_delay_samples},
          {"has_encoder", report.has_encoder}};
}

int inspect(const InspectOptions& options) {
  const Result<ModelReport> report = inspect_model(options.folder);
  if (!report) {
    print_error(report.error().message);
    return kExitModel;
  }
  if (options.as_json) {
    json::object object;
    if (report->language_model) object["language_model"] = to_json(*report->language_model);
    if (report->codec) object["codec"] = to_json(*report->codec);
    std::cout << indented_json(json::serialize(object)) << '\n';
  } else {
    if (report->language_model) print(*report->language_model);
    if (report->codec) print(*report->codec);
  }
  return std::cout.flush() ? kExitOk : kExitFailed;
}

}  // namespace

void add_inspect(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* inspect_app =
      app.add_subcommand("inspect", "Tell what is in a model, codec or voice folder");
  inspect_app->add_option("folder", options->folder, "The folder")->required()->type_name("DIR");
  inspect_app->add_flag("--json", options->as_json, "Print JSON");
  inspect_app->footer(
      "Examples:\n"
      "  lyre inspect voices/demo\n"
      "  lyre inspect ORPHEUS_FOLDER --json | jq .language_model.special_ids");
  inspect_app->callback([options, &exit_code] { exit_code = inspect(*options); });
}

}  // namespace lyre::command
