// lyre inspect: what lies in a folder, before anything is loaded; and what of it fits on a GPU.
#include <boost/json.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <optional>

#include "lyre/engine/inspect.h"
#include "lyre/exit_code.h"
#include "lyre/inspect_devices.h"
#include "lyre/json_text.h"
#include "lyre/model_location.h"
#include "lyre/subcommand.h"

namespace lyre::command {
namespace json = boost::json;
namespace {

struct InspectOptions {
  CommandLine line;
  std::string folder;
  CLI::Option* device_option = nullptr;
  std::string device;  // with the option; empty: every GPU
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

/// The folder, or without one the models of the configuration.
Result<ModelReport> inspect_chosen(const InspectOptions& options, int& exit_code) {
  exit_code = kExitModel;
  if (!options.folder.empty()) return inspect_model(options.folder);
  Settings defaults;
  defaults.log.level = LogLevel::kWarning;
  Result<Settings> settings = load_settings(options.line, defaults);
  if (!settings) {
    exit_code = kExitUsage;
    return std::move(settings).error();
  }
  LYRE_RETURN_IF_ERROR(locate_models(own_executable(), *settings));
  LYRE_ASSIGN_OR_RETURN(ModelReport report, inspect_model(settings->engine.model));
  LYRE_ASSIGN_OR_RETURN(ModelReport codec, inspect_model(settings->engine.codec));
  report.codec = std::move(codec.codec);
  return report;
}

int inspect(const InspectOptions& options) {
  const bool with_devices = options.device_option->count() > 0;
  if (options.folder.empty() && !with_devices) throw CLI::RequiredError("folder");
  std::optional<int> device;
  if (!options.device.empty()) {
    device.emplace();
    if (!CLI::detail::lexical_cast(options.device, *device)) {
      throw CLI::ConversionError(options.device, "--device");
    }
  }
  std::vector<Gpu> gpus;
  if (with_devices) {
    Result<std::vector<Gpu>> found = find_gpus(device);
    if (!found) {
      print_error(found.error().message);
      return kExitModel;
    }
    gpus = *std::move(found);
  }
  int exit_code = kExitOk;
  const Result<ModelReport> report = inspect_chosen(options, exit_code);
  if (!report) {
    print_error(report.error().message);
    return exit_code;
  }
  const std::vector<DeviceReport> devices = inspect_devices(gpus, *report);
  if (options.as_json) {
    json::object object;
    if (with_devices) object["devices"] = json::parse(to_json(devices));
    if (report->language_model) object["language_model"] = to_json(*report->language_model);
    if (report->codec) object["codec"] = to_json(*report->codec);
    std::cout << indented_json(json::serialize(object)) << '\n';
  } else {
    if (report->language_model) print(*report->language_model);
    if (report->codec) print(*report->codec);
    for (const DeviceReport& one : devices) print(one);
  }
  return std::cout.flush() ? kExitOk : kExitFailed;
}

}  // namespace

void add_inspect(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<InspectOptions>();
  CLI::App* inspect_app = app.add_subcommand(
      "inspect", "Tell what is in a model, codec or voice folder, and what of it fits on a GPU");
  inspect_app
      ->add_option("folder", options->folder,
                   "The folder (with --device, default: the model of the configuration)")
      ->type_name("DIR");
  options->device_option =
      inspect_app
          ->add_option("--device", options->device,
                       "The GPUs, or one of them: memory, bandwidth, what of the model fits")
          ->expected(0, 1)
          ->type_name("[N]");
  add_settings(*inspect_app, options->line, {std::string_view("voice_dir"), "model", "codec"});
  inspect_app->add_flag("--json", options->as_json, "Print JSON");
  inspect_app->footer(
      "Examples:\n"
      "  lyre inspect voices/demo\n"
      "  lyre inspect ORPHEUS_FOLDER --json | jq .language_model.special_ids\n"
      "  lyre inspect ORPHEUS_FOLDER --device");
  inspect_app->callback([options, &exit_code] { exit_code = inspect(*options); });
}

}  // namespace lyre::command
