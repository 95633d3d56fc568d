// What the start of a voice costs, part by part. Every round is a fresh process, so that each pays
// for its own pages; the files lie in the page cache unless the caller has emptied it. One JSON
// object on standard output: milliseconds, the median and the least of the rounds.
//
//     open_bench --voice voices/demo [--weights int8] [--cache FOLDER] [--threads 2] [--batch 16]
//                [--rounds 7]

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/check.h"
#include "lyre/base/memory.h"
#include "lyre/base/thread_pool.h"
#include "lyre/codec/cpu/cpu_codec.h"
#include "lyre/codec/open_codec.h"
#include "lyre/codec/snac_weights.h"
#include "lyre/lm/llama_weights.h"
#include "lyre/lm/open_language_model.h"
#include "lyre/text/tokenizer.h"

namespace lyre {
namespace {

struct Arguments {
  std::filesystem::path voice = "voices/demo";
  WeightFormat weights = WeightFormat::kAsStored;
  std::filesystem::path cache;
  int threads = 0;
  int batch = 16;
  int rounds = 7;
};

Arguments parse(int count, char** words) {
  Arguments arguments;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view flag = words[i], value = words[i + 1];
    if (flag == "--voice")
      arguments.voice = value;
    else if (flag == "--weights" && (value == "int8" || value == "stored"))
      arguments.weights = value == "int8" ? WeightFormat::kInt8 : WeightFormat::kAsStored;
    else if (flag == "--cache")
      arguments.cache = value;
    else if (flag == "--threads")
      arguments.threads = std::atoi(words[i + 1]);
    else if (flag == "--batch")
      arguments.batch = std::atoi(words[i + 1]);
    else if (flag == "--rounds")
      arguments.rounds = std::atoi(words[i + 1]);
    else
      std::fprintf(stderr, "open_bench: unknown: %s %s\n", words[i], words[i + 1]), std::exit(2);
  }
  return arguments;
}

template <class T>
T open_or_end(Result<T> result) {
  if (!result) {
    std::fprintf(stderr, "open_bench: %s\n", result.error().message.c_str());
    std::_Exit(1);
  }
  return *std::move(result);
}

/// Prints "name milliseconds" lines.
class Stopwatch {
 public:
  explicit Stopwatch(std::FILE* out) : out_(out) {}
  template <class Body>
  auto time(const char* name, Body body) {
    const auto start = std::chrono::steady_clock::now();
    auto value = body();
    const std::chrono::duration<double, std::milli> passed =
        std::chrono::steady_clock::now() - start;
    std::fprintf(out_, "%s %.3f\n", name, passed.count());
    return value;
  }

 private:
  std::FILE* out_;
};

void measure_parts(const Arguments& arguments, std::FILE* out) {
  Stopwatch watch(out);
  const std::filesystem::path lm = arguments.voice / "lm", codec = arguments.voice / "codec";
  const auto threads =
      watch.time("threads", [&] { return std::make_unique<ThreadPool>(arguments.threads); });
  const auto tokenizer =
      watch.time("tokenizer", [&] { return open_or_end(Tokenizer::load(lm / "tokenizer.json")); });
  {
    const auto headers =
        watch.time("lm.headers", [&] { return open_or_end(open_llama_weights(lm)); });
  }
  LanguageModelOptions options;
  options.folder = lm;
  options.weights = arguments.weights;
  options.cache_folder = arguments.cache;
  options.max_sequences = arguments.batch;
  options.max_batch_tokens = arguments.batch + 192;
  auto model =
      watch.time("lm", [&] { return open_or_end(open_language_model(options, *threads)); });
  for (const WarmupStep& step : model->warmup_steps()) {
    watch.time(step.name.c_str(), [&] {
      WarmupStep::Progress progress;
      do progress = open_or_end(step.run());
      while (progress == WarmupStep::Progress::kMore);
      return progress;
    });
  }
  {
    const auto weights =
        watch.time("codec.read", [&] { return open_or_end(load_snac_decoder(codec)); });
    const auto packed = watch.time("codec.pack", [&] {
      return make_cpu_codec(weights, {arguments.batch, 1}, *threads);
    });
  }
  CodecOptions codec_options;
  codec_options.folder = codec;
  codec_options.max_streams = arguments.batch;
  codec_options.most_frames_per_push = 1;
  const auto opened =
      watch.time("codec", [&] { return open_or_end(open_codec(codec_options, *threads)); });
  // Waits for what is stored in the cache.
  watch.time("lm.close", [&] { return model.reset(), true; });
  std::fprintf(out, "resident_mb %.1f\n", static_cast<double>(resident_bytes()) / 1e6);
}

/// The lines of one fresh process.
std::map<std::string, double> run_round(const Arguments& arguments) {
  int ends[2];
  LYRE_CHECK(::pipe(ends) == 0);
  std::fflush(stdout);
  const pid_t child = ::fork();
  LYRE_CHECK(child >= 0);
  if (child == 0) {
    std::FILE* out = ::fdopen(ends[1], "w");
    measure_parts(arguments, out);
    std::fflush(out);
    std::_Exit(0);
  }
  ::close(ends[1]);
  std::FILE* in = ::fdopen(ends[0], "r");
  std::map<std::string, double> values;
  char name[64];
  double value = 0;
  while (std::fscanf(in, "%63s %lf", name, &value) == 2) values[name] = value;
  std::fclose(in);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (status != 0) std::exit(1);
  return values;
}

}  // namespace
}  // namespace lyre

int main(int count, char** words) {
  const lyre::Arguments arguments = lyre::parse(count, words);
  std::map<std::string, std::vector<double>> samples;
  for (int round = 0; round < arguments.rounds; ++round) {
    for (const auto& [name, value] : lyre::run_round(arguments)) samples[name].push_back(value);
  }
  std::printf("{\"bench\": \"open\", \"voice\": \"%s\", \"weights\": \"%s\", \"rounds\": %d,\n",
              arguments.voice.c_str(),
              arguments.weights == lyre::WeightFormat::kInt8 ? "int8" : "stored", arguments.rounds);
  std::printf(" \"results\": [\n");
  size_t left = samples.size();
  for (auto& [name, values] : samples) {
    std::sort(values.begin(), values.end());
    std::printf("  {\"name\": \"%s\", \"ms_p50\": %.2f, \"ms_min\": %.2f}%s\n", name.c_str(),
                values[values.size() / 2], values.front(), --left > 0 ? "," : "");
  }
  std::printf(" ]}\n");
  return 0;
}
