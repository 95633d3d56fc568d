// lyre codec: speech to codes and codes to speech, without a language model.
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <optional>
#include <string>

#include "lyre/audio/wav.h"
#include "lyre/backend_defaults.h"
#include "lyre/base/quote.h"
#include "lyre/code_text.h"
#include "lyre/engine/codec_tool.h"
#include "lyre/exit_code.h"
#include "lyre/model_location.h"
#include "lyre/speech_output.h"
#include "lyre/subcommand.h"

namespace lyre::command {
namespace {

struct CodecCommand {
  CommandLine line;
  std::string input = "-";
  std::string output;
  std::optional<uint64_t> seed;
  bool no_noise = false;
};

int fail(int exit_code, const Error& error) {
  print_error(error.message);
  return exit_code;
}

Result<std::string> read_text_file(const std::string& file) {
  const bool standard_input = file == "-";
  std::ifstream stream;
  if (!standard_input) stream.open(file, std::ios::binary);
  std::istream& source = standard_input ? std::cin : stream;
  std::string text((std::istreambuf_iterator<char>(source)), std::istreambuf_iterator<char>());
  if ((!standard_input && !stream.is_open()) || source.bad()) {
    return Error{ErrorCode::kInvalidArgument, "cannot read the codes file " + quote(file)};
  }
  return text;
}

Status write_text_file(const std::string& file, const std::string& text) {
  if (file == "-") {
    if (std::cout << text << std::flush) return ok_status();
    return Error{ErrorCode::kInternal, "cannot write standard output"};
  }
  std::ofstream stream(file, std::ios::binary);
  if (stream << text << std::flush) return ok_status();
  return Error{ErrorCode::kInternal, "cannot write " + quote(file)};
}

int encode(const CodecCommand& command, CodecTool& tool) {
  const Result<WavAudio> audio = read_wav(command.input);
  if (!audio) return fail(kExitUsage, audio.error());
  const auto frames = tool.encode(audio->samples, audio->sample_rate_hz);
  if (!frames) {
    return fail(frames.error().code == ErrorCode::kInvalidArgument ? kExitUsage : kExitFailed,
                frames.error());
  }
  const std::string output = command.output.empty() ? "-" : command.output;
  const Status written = write_text_file(output, format_codes(*frames));
  return written ? kExitOk : fail(kExitFailed, written.error());
}

int decode(const CodecCommand& command, CodecTool& tool) {
  const Result<std::string> text = read_text_file(command.input);
  if (!text) return fail(kExitUsage, text.error());
  const auto frames = parse_codes(*text, tool.codebook_size(),
                                  command.input == "-" ? "standard input" : command.input);
  if (!frames) return fail(kExitUsage, frames.error());
  std::optional<uint64_t> noise_seed = command.seed.value_or(0);
  if (command.no_noise) noise_seed.reset();
  const auto samples = tool.decode(*frames, noise_seed);
  if (!samples) return fail(kExitFailed, samples.error());
  const auto file = command.output.empty()
                        ? free_output_name(std::filesystem::current_path(), false)
                        : std::filesystem::path(command.output);
  SpeechOutput output(file, false, tool.sample_rate_hz());
  if (const Status written = output.write(*samples); !written) {
    return fail(kExitFailed, written.error());
  }
  if (const Status finished = output.finish(); !finished) {
    return fail(kExitFailed, finished.error());
  }
  if (command.output.empty()) std::fprintf(stderr, "%s\n", file.c_str());
  return kExitOk;
}

int run_codec(const CodecCommand& command, int (*work)(const CodecCommand&, CodecTool&)) {
  Settings defaults;
  defaults.log.level = LogLevel::kWarning;
  Result<Settings> settings = load_settings(command.line, defaults);
  if (!settings) return fail(kExitUsage, settings.error());
  if (const Status located = locate_codec(own_executable(), *settings); !located) {
    return fail(kExitModel, located.error());
  }
  apply_backend_defaults(*settings);
  const EngineConfig& engine = settings->engine;
  Result<CodecTool> tool =
      CodecTool::open(engine.codec, engine.backend, engine.threads, engine.device);
  if (!tool) return fail(model_exit_code(tool.error()), tool.error());
  return work(command, *tool);
}

}  // namespace

void add_codec(CLI::App& app, int& exit_code) {
  CLI::App* codec_app = app.add_subcommand("codec", "Speech to codes, and codes to speech");
  codec_app->require_subcommand(1);
  codec_app->footer(
      "Examples:\n"
      "  lyre codec encode speech.wav -o speech.codes\n"
      "  lyre codec decode speech.codes -o again.wav");
  const std::initializer_list<std::string_view> settings = {"codec", "voice_dir", "backend",
                                                            "device", "threads"};

  auto encoding = std::make_shared<CodecCommand>();
  CLI::App* encode_app = codec_app->add_subcommand("encode", "WAV to codes, seven a line");
  encode_app->add_option("input", encoding->input, "WAV file; '-' or nothing: standard input");
  encode_app->add_option("-o,--output", encoding->output, "File (default: standard output)")
      ->type_name("FILE");
  add_settings(*encode_app, encoding->line, settings);
  encode_app->footer("Example:\n  lyre codec encode speech.wav -o speech.codes");
  encode_app->callback([encoding, &exit_code] { exit_code = run_codec(*encoding, encode); });

  auto decoding = std::make_shared<CodecCommand>();
  CLI::App* decode_app = codec_app->add_subcommand("decode", "Codes to WAV");
  decode_app->add_option("input", decoding->input, "Codes; '-' or nothing: standard input");
  decode_app
      ->add_option("-o,--output", decoding->output,
                   "File, overwritten; '-' is standard output (default: the next free speech.wav)")
      ->type_name("FILE");
  decode_app->add_option("--seed", decoding->seed, "Seed of the codec's noise (default: 0)")
      ->type_name("N");
  decode_app->add_flag("--no-noise", decoding->no_noise, "Decode without noise");
  add_settings(*decode_app, decoding->line, settings);
  decode_app->footer("Example:\n  lyre codec decode speech.codes -o again.wav");
  decode_app->callback([decoding, &exit_code] { exit_code = run_codec(*decoding, decode); });
}

}  // namespace lyre::command
