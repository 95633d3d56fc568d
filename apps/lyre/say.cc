// lyre say: one text into one file, with nothing between the engine and the disk.
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <memory>
#include <mutex>
#include <vector>

#include "lyre/backend_defaults.h"
#include "lyre/base/clock.h"
#include "lyre/base/quote.h"
#include "lyre/engine/engine.h"
#include "lyre/exit_code.h"
#include "lyre/model_location.h"
#include "lyre/profiling.h"
#include "lyre/progress_bar.h"
#include "lyre/speech_output.h"
#include "lyre/stop_signals.h"
#include "lyre/subcommand.h"
#include "lyre/text_input.h"

namespace lyre::command {
namespace {

struct SayOptions {
  CommandLine line;
  TextSource text;
  std::string output;
  std::string voice;
  std::string description;
  std::optional<int> max_tokens;
  bool raw = false;
  bool timings = false;
  bool quiet = false;
};

/// Waits for samples or for Ctrl-C, whichever comes first.
class Interruption {
 public:
  void wake() {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    changed_.notify_one();
  }
  /// The first Ctrl-C ends the speech, if it has begun; everything else ends the program.
  void interrupt(int count) {
    std::unique_lock lock(mutex_);
    if (!speaking_ || count > 1) ::_exit(kExitInterrupted);
    interrupted_ = true;
    changed_.notify_one();
  }
  void begin_speaking() {
    const std::lock_guard lock(mutex_);
    speaking_ = true;
  }
  /// False after Ctrl-C.
  bool wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return woken_ || interrupted_; });
    woken_ = false;
    return !interrupted_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false, interrupted_ = false, speaking_ = false;
};

enum class End : uint8_t { kSpoken, kInterrupted };

/// Moves the audio into the output until it ends.
Result<End> write_speech(Speech& speech, Interruption& interruption, SpeechOutput& output,
                         ProgressBar& progress, int sample_rate_hz) {
  std::vector<float> samples(16'384);
  int64_t written = 0;
  speech.pcm.notify([&interruption] { interruption.wake(); });
  for (;;) {
    const size_t count = speech.pcm.try_read(samples);
    if (count > 0) {
      LYRE_RETURN_IF_ERROR(output.write({samples.data(), count}));
      written += static_cast<int64_t>(count);
      progress.show(static_cast<double>(written) / sample_rate_hz);
    } else if (speech.pcm.state() != PcmSource::State::kOpen) {
      break;
    } else if (!interruption.wait()) {
      return End::kInterrupted;
    }
  }
  if (speech.pcm.state() == PcmSource::State::kFailed) return speech.pcm.error();
  return End::kSpoken;
}

void print_timings(double load_ms, const SpeechSummary& summary, int sample_rate_hz) {
  const double audio_s = static_cast<double>(summary.samples) / sample_rate_hz;
  const double total_s = summary.total_ms / 1000;
  std::fprintf(stderr, "load              %9.1f ms\n", load_ms);
  std::fprintf(stderr, "first audio       %9.1f ms after the request (prompt %.1f ms)\n",
               summary.first_audio_ms, summary.prefill_ms);
  std::fprintf(stderr, "speech            %9.2f s in %.2f s\n", audio_s, total_s);
  std::fprintf(stderr, "real-time factor  %9.3f (%.1f times faster than speech)\n",
               total_s / audio_s, audio_s / total_s);
  std::fprintf(stderr, "tokens            %9lld, %.0f a second (prompt %lld, segments %lld)\n",
               static_cast<long long>(summary.generated_tokens),
               static_cast<double>(summary.generated_tokens) / total_s,
               static_cast<long long>(summary.prompt_tokens),
               static_cast<long long>(summary.segments));
  std::fprintf(stderr, "finish            %9s\n",
               summary.reason == FinishReason::kStop ? "stop" : "length");
}

int fail(int exit_code, const std::string& message) {
  print_error(message);
  return exit_code;
}

int say(SayOptions& options) {
  Settings defaults;
  defaults.log.level = LogLevel::kWarning;
  // One request needs no room for more, and may be a book.
  defaults.engine.max_batch = 1;
  defaults.max_batch_chosen = true;
  defaults.engine.max_text_bytes = 16 * 1024 * 1024;
  Result<Settings> settings = load_settings(options.line, defaults);
  if (!settings) return fail(kExitUsage, settings.error().message);
  Result<std::string> text = read_text(options.text);
  if (!text) return fail(kExitUsage, text.error().message);
  if (Status located = locate_models(own_executable(), *settings); !located) {
    return fail(kExitModel, located.error().message);
  }
  apply_backend_defaults(*settings);
  const bool to_stdout = options.output == "-";
  const auto file = options.output.empty()
                        ? free_output_name(std::filesystem::current_path(), options.raw)
                        : std::filesystem::path(options.output);
  if (to_stdout && ::isatty(STDOUT_FILENO) == 1) {
    return fail(kExitUsage, "will not write audio to a terminal; redirect standard output");
  }

  // Both outlive the engine, and the signals are blocked before its threads start.
  Interruption interruption;
  const StopSignals signals([&](int count, int) { interruption.interrupt(count); });

  const Profiling profiling(settings->profiling);  // outlives the engine, too
  const TimePoint start = Clock::now();
  // There is one request: what a warm-up would pay for it, it may as well pay itself.
  settings->engine.snac_warmup = false;
  auto engine = Engine::open(settings->engine);
  if (!engine) return fail(model_exit_code(engine.error()), engine.error().message);
  const double load_ms = milliseconds_since(start);
  const int sample_rate_hz = (*engine)->info().sample_rate_hz;

  SynthesisRequest request;
  request.text = *text;
  request.voice = options.voice;
  request.description = options.description;
  request.max_tokens = options.max_tokens;
  interruption.begin_speaking();
  Result<Speech> speech = (*engine)->submit(std::move(request));
  if (!speech) {
    const bool usage = speech.error().code == ErrorCode::kInvalidArgument;
    return fail(usage ? kExitUsage : kExitFailed, speech.error().message);
  }
  SpeechOutput output(file, options.raw, sample_rate_hz);
  Result<End> end = End::kSpoken;
  {
    ProgressBar progress(options.quiet ? nullptr : stderr, text->size());
    end = write_speech(*speech, interruption, output, progress, sample_rate_hz);
  }
  const Status finished = output.finish();
  if (!end) return fail(kExitFailed, end.error().message);
  if (!finished) return fail(kExitFailed, finished.error().message);
  if (*end == End::kInterrupted) {
    print_error(output.opened() ? "interrupted; what was spoken until then is in " + file.string()
                                : "interrupted");
    return kExitInterrupted;
  }
  if (!output.opened()) {
    return fail(kExitFailed, "the model ended without any speech; try another --seed");
  }

  const SpeechSummary& summary = speech->pcm.summary();
  if (options.timings) print_timings(load_ms, summary, sample_rate_hz);
  if (!options.quiet && !to_stdout) {
    std::fprintf(stderr, "%s: %.2f s, voice %s, seed %llu\n", file.c_str(),
                 static_cast<double>(summary.samples) / sample_rate_hz, speech->voice.c_str(),
                 static_cast<unsigned long long>(speech->seed));
  }
  if (summary.reason == FinishReason::kLength) {
    return fail(kExitCut, options.max_tokens
                              ? "cut: the speech needs more than --max-tokens"
                              : "cut: a sentence needs more than --max-sequence-tokens");
  }
  return kExitOk;
}

}  // namespace

void add_say(CLI::App& app, int& exit_code) {
  auto options = std::make_shared<SayOptions>();
  CLI::App* say_app = app.add_subcommand("say", "Speak a text into a file");
  say_app->add_option(
      "text", options->text.words,
      "What to say; '-' reads standard input, which is also read if nothing is given");
  say_app->add_option("-f,--file", options->text.file, "Read the text from a file")
      ->type_name("FILE");
  say_app
      ->add_option(
          "-o,--output", options->output,
          "File to write, overwritten; '-' is standard output (default: speech.wav, or the "
          "next free speech-N.wav)")
      ->type_name("FILE");
  say_app->add_option("-v,--voice", options->voice, "Voice (default: the model's first)")
      ->type_name("NAME");
  say_app
      ->add_option("--description", options->description,
                   "The speaker in words, for models that take it")
      ->type_name("TEXT");
  say_app->add_option("--max-tokens", options->max_tokens, "Stop after so many speech tokens")
      ->type_name("N");
  say_app->add_flag("--raw", options->raw, "Write 16-bit little-endian samples without WAV header");
  say_app->add_flag("--timings", options->timings,
                    "Print load time, time to first audio, speed and how the speech ended");
  say_app->add_flag("-q,--quiet", options->quiet, "Print errors only");
  add_settings(*say_app, options->line,
               {SettingGroup::kModel, SettingGroup::kSampling, SettingGroup::kProfiling,
                SettingGroup::kLog});
  say_app->footer(
      "Examples:\n"
      "  lyre say \"Hello there.\" -o hello.wav\n"
      "  lyre say -f chapter.txt -v max --seed 1 -o chapter.wav --timings\n"
      "  echo \"Piped.\" | lyre say -o - | ffplay -autoexit -nodisp -\n"
      "  lyre say \"Raw.\" --raw -o - | aplay -r 24000 -f S16_LE\n"
      "  lyre say \"Mine.\" --model ORPHEUS_FOLDER --codec SNAC_FOLDER");
  say_app->callback([options, &exit_code] { exit_code = say(*options); });
}

}  // namespace lyre::command
