// What recording costs a request: the same sentence with the recorder on and off, in turns, by the
// processor time of this process. One thread computes, so that waiting for others is not counted.
//
//   recording_bench VOICE_DIR [PAIRS]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "lyre/base/trace.h"
#include "lyre/engine/engine.h"

namespace lyre {
namespace {

double processor_ms() {
  std::timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}

/// Processor time of one request; 0: it failed.
double speak_ms(Engine& engine) {
  SynthesisRequest request;
  request.text = "Please leave the key under the mat before you go home.";
  request.sampling.seed = 1;
  std::vector<float> samples(100'000);
  const double start = processor_ms();
  auto speech = engine.submit(std::move(request));
  if (!speech) return 0;
  while (speech->pcm.wait_readable()) speech->pcm.try_read(samples);
  return processor_ms() - start;
}

double recorded_ms(Engine& engine) {
  trace::start();
  speak_ms(engine);  // the first request of a recording takes memory
  const double ms = speak_ms(engine);
  trace::stop();
  return ms;
}

double plain_ms(Engine& engine) {
  speak_ms(engine);
  return speak_ms(engine);
}

void print(const char* name, std::vector<double> values, const char* unit) {
  std::sort(values.begin(), values.end());
  const auto at = [&](size_t quarter) { return values[quarter * (values.size() - 1) / 4]; };
  std::printf("%-8s min %8.4f   quartiles %8.4f %8.4f %8.4f %s\n", name, values.front(), at(1),
              at(2), at(3), unit);
}

int measure(const std::filesystem::path& voice, int pairs) {
  EngineConfig config;
  config.model = voice / "lm";
  config.codec = voice / "codec";
  config.threads = 1;
  const auto engine = Engine::open(config);
  if (!engine) {
    std::fprintf(stderr, "%s\n", engine.error().message.c_str());
    return 1;
  }
  (*engine)->warmup_models();
  std::vector<double> on, off, ratios;
  for (int i = 0; i < pairs; ++i) {
    // Who goes first takes turns too.
    double recorded = i % 2 == 0 ? recorded_ms(**engine) : 0;
    const double plain = plain_ms(**engine);
    if (i % 2 != 0) recorded = recorded_ms(**engine);
    on.push_back(recorded);
    off.push_back(plain);
    ratios.push_back(recorded / plain);
  }
  print("on", on, "ms");
  print("off", off, "ms");
  print("on/off", ratios, "");
  return 0;
}

}  // namespace
}  // namespace lyre

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "recording_bench VOICE_DIR [PAIRS]\n");
    return 2;
  }
  return lyre::measure(argv[1], argc > 2 ? std::max(1, std::atoi(argv[2])) : 40);
}
