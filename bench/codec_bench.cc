// The cpu codec: streaming by 1, 2 and 4 frames, batches, preview, a whole decode, the encoder; and
// the products by themselves. Random weights of the true shapes: "full" is the public 24 kHz model
// (decoder_dim 1024), "demo" the one of the demo voice (448).
//
//   codec_bench --benchmark_format=json --benchmark_context=commit=$(git rev-parse --short HEAD)
//
// Times are of single pushes: `min`, `median` and `p90` in ms a frame (of all streams), after
// warm-up. `rtf` is the median over the frame's length, `of_peak` GFLOP/s over the multiply-add
// rate that this program measured with as many threads, `GB/s` the weights read once a push.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "lyre/codec/cpu/cpu_codec.h"
#include "lyre/codec/cpu/matmul.h"
#include "lyre/codec/cpu/pack_layers.h"
#include "lyre/codec/snac_geometry.h"

namespace lyre {
namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

// Independent multiply-adds in registers: what the machine can do at best.
#define LYRE_DEFINE_FMA_RATE(name, bytes, target_attribute)                    \
  target_attribute double name() {                                             \
    typedef float Vector __attribute__((vector_size(bytes)));                  \
    constexpr int kChains = 12, kRounds = 1 << 20;                             \
    Vector sum[kChains] = {}, factor = {}, term = {};                          \
    factor += 0.999f;                                                          \
    term += 1e-6f;                                                             \
    double best = 0;                                                           \
    for (int attempt = 0; attempt < 8; ++attempt) {                            \
      const auto start = Clock::now();                                         \
      for (int i = 0; i < kRounds; ++i) {                                      \
        _Pragma("GCC unroll 12") for (Vector & v : sum) v = v * factor + term; \
      }                                                                        \
      const double flop = 2.0 * kRounds * kChains * (bytes) / sizeof(float);   \
      best = std::max(best, flop / ms_since(start) / 1e6);                     \
    }                                                                          \
    for (Vector & v : sum) benchmark::DoNotOptimize(v);                        \
    return best;                                                               \
  }
#if defined(__x86_64__)
LYRE_DEFINE_FMA_RATE(fma_rate_avx512, 64, __attribute__((target("avx512f"))))
LYRE_DEFINE_FMA_RATE(fma_rate_avx2, 32, __attribute__((target("avx2,fma"))))
#endif
LYRE_DEFINE_FMA_RATE(fma_rate_baseline, 16, )

double fma_rate() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return fma_rate_avx512();
  if (__builtin_cpu_supports("avx2")) return fma_rate_avx2();
#endif
  return fma_rate_baseline();
}

// GFLOP/s of `threads` threads at once; measured once.
double peak_gflops(int threads) {
  static std::map<int, double> known;
  double& peak = known[threads];
  if (peak == 0) {
    std::vector<double> rates(static_cast<size_t>(threads));
    {
      std::vector<std::jthread> workers;
      for (double& rate : rates) workers.emplace_back([&rate] { rate = fma_rate(); });
    }
    peak = std::accumulate(rates.begin(), rates.end(), 0.0);
  }
  return peak;
}

SnacConfig shape(bool full) {
  SnacConfig c;
  c.sampling_rate_hz = 24000;
  c.encoder_dim = full ? 48 : 24;
  c.encoder_rates = {2, 4, 8, 8};
  c.latent_dim = full ? 768 : 384;
  c.decoder_dim = full ? 1024 : 448;
  c.decoder_rates = {8, 8, 4, 2};
  c.codebook_size = full ? 4096 : 1024;
  c.codebook_dim = 8;
  c.vq_strides = {4, 2, 1};
  return c;
}

const SnacDecoderWeights& weights(bool full) {
  static const SnacDecoderWeights kDemo = random_snac_decoder(shape(false), 1);
  static const SnacDecoderWeights kFull = random_snac_decoder(shape(true), 1);
  return full ? kFull : kDemo;
}

// Multiply-adds of products and depthwise convolutions, times two.
double gflop_per_frame(const SnacConfig& c) {
  double columns = c.latents_per_frame();
  double macs = columns * c.latent_dim * (kDepthwiseTaps + c.decoder_dim);
  for (size_t b = 0; b < c.decoder_rates.size(); ++b) {
    const double in = c.decoder_channels(static_cast<int>(b) - 1);
    const double out = c.decoder_channels(static_cast<int>(b));
    macs += columns * in * out * 2 * c.decoder_rates[b];
    columns *= c.decoder_rates[b];
    macs += columns * (out * out * (kResidualUnits + (c.noise ? 1 : 0)) +
                       out * kDepthwiseTaps * kResidualUnits);
  }
  const double last = c.decoder_channels(static_cast<int>(c.decoder_rates.size()) - 1);
  return 2e-9 * (macs + columns * last * kDepthwiseTaps);
}

std::vector<CodeFrame> some_frames(size_t count, int codebook_size) {
  std::vector<CodeFrame> frames(count);
  for (size_t i = 0; i < count * CodeFrame::kSlots; ++i) {
    frames[i / CodeFrame::kSlots].codes[i % CodeFrame::kSlots] =
        static_cast<int32_t>(i * 2654435761u % static_cast<uint32_t>(codebook_size));
  }
  return frames;
}

// Counters from the times of single pushes of `frames` frames in all.
void report(benchmark::State& state, std::vector<double> ms, double frames, bool full, int threads,
            int64_t weight_bytes) {
  std::sort(ms.begin(), ms.end());
  for (double& t : ms) t /= frames;
  const SnacConfig& c = weights(full).config;
  const double frame_ms = 1e3 * c.samples_per_frame() / c.sampling_rate_hz;
  const double median = ms[ms.size() / 2];
  const double gflops = gflop_per_frame(c) / ms.front() * 1e3;  // without a preview's work
  state.counters["min"] = ms.front();
  state.counters["median"] = median;
  state.counters["p90"] = ms[ms.size() * 9 / 10];
  state.counters["rtf"] = median / frame_ms;
  state.counters["GFLOP/s"] = gflops;
  state.counters["of_peak"] = gflops / peak_gflops(threads);
  state.counters["GB/s"] = static_cast<double>(weight_bytes) / (ms.front() * frames) / 1e6;
}

// Arguments: full, threads, streams, frames a push, preview.
void stream(benchmark::State& state) {
  const bool full = state.range(0) != 0;
  const auto threads = static_cast<int>(state.range(1));
  const auto streams = static_cast<int>(state.range(2));
  const auto count = static_cast<size_t>(state.range(3));
  const bool preview = state.range(4) != 0;
  ThreadPool pool(threads);
  const auto codec = make_cpu_codec(weights(full), {streams, 8}, pool);
  const auto frames = some_frames(count, codec->info().codebook_size);
  std::vector<CodecWork> batch;
  for (int s = 0; s < streams; ++s) {
    batch.push_back({*codec->open({static_cast<uint64_t>(s), true}), frames, false, preview});
  }
  std::vector<PcmSpan> pcm(batch.size());
  for (int warm = 0; warm < 4; ++warm) (void)codec->push(batch, pcm).ok();
  std::vector<double> ms;
  for (auto _ : state) {
    const auto start = Clock::now();
    if (!codec->push(batch, pcm).ok()) state.SkipWithError("push failed");
    ms.push_back(ms_since(start));
  }
  report(state, std::move(ms), static_cast<double>(count) * streams, full, threads,
         codec->info().weight_bytes);
}

void streams_of(benchmark::internal::Benchmark* b) {
  b->ArgNames({"full", "threads", "streams", "frames", "preview"});
  for (const int full : {0, 1}) {
    for (const int threads : {1, 2}) {
      for (const int frames : {1, 2, 4}) b->Args({full, threads, 1, frames, 0});
      for (const int streams : {2, 4, 8, 16}) b->Args({full, threads, streams, 1, 0});
      b->Args({full, threads, 1, 1, 1});
    }
  }
}
BENCHMARK(stream)->Apply(streams_of)->Unit(benchmark::kMillisecond)->MinTime(0.3);

// Arguments: full, threads. Forty frames (3.4 s) from open to the last sample.
void whole_decode(benchmark::State& state) {
  const bool full = state.range(0) != 0;
  const auto threads = static_cast<int>(state.range(1));
  constexpr size_t kFrames = 40, kPush = 8;
  ThreadPool pool(threads);
  const auto codec = make_cpu_codec(weights(full), {1, kPush}, pool);
  const auto frames = some_frames(kFrames, codec->info().codebook_size);
  std::vector<double> ms;
  for (auto _ : state) {
    const auto start = Clock::now();
    const StreamId id = *codec->open({});
    for (size_t f = 0; f < kFrames; f += kPush) {
      const CodecWork work{id, std::span(frames).subspan(f, kPush), f + kPush == kFrames, false};
      PcmSpan pcm;
      if (!codec->push({&work, 1}, {&pcm, 1}).ok()) state.SkipWithError("push failed");
      benchmark::DoNotOptimize(pcm);
    }
    codec->close(id);
    ms.push_back(ms_since(start));
  }
  report(state, std::move(ms), kFrames, full, threads, codec->info().weight_bytes);
}
BENCHMARK(whole_decode)
    ->ArgNames({"full", "threads"})
    ->ArgsProduct({{0, 1}, {1, 2}})
    ->Unit(benchmark::kMillisecond)
    ->MinTime(0.5);

// One product of the decoder, weights in or out of the second-level cache as its size has it.
void product(benchmark::State& state) {
  const auto outputs = static_cast<int>(state.range(0));
  const auto taps = static_cast<int>(state.range(1));
  const auto depth = static_cast<int>(state.range(2));
  const int64_t rows = state.range(3);
  const ConvWeights layer = {
      outputs,
      depth,
      taps,
      std::vector<float>(static_cast<size_t>(outputs) * static_cast<size_t>(taps * depth), 0.01f),
      {}};
  const snac_cpu::PackedMatrix m = snac_cpu::pack_convolution(layer);
  const int64_t stride = snac_cpu::pad_channels(depth);
  const snac_cpu::AlignedFloats x((rows + taps) * stride);
  snac_cpu::AlignedFloats y(rows * m.outputs());
  double best = 1e9;
  for (auto _ : state) {
    const auto start = Clock::now();
    snac_cpu::MatmulArgs args;
    args.x = x.data();
    args.x_stride = args.tap_stride = stride;
    args.rows = rows;
    args.y = y.data();
    args.y_stride = m.outputs();
    snac_cpu::matmul(m, {0, m.panels()}, args);
    benchmark::DoNotOptimize(y.data());
    best = std::min(best, ms_since(start));
  }
  const double gflop = 2e-9 * outputs * taps * depth * static_cast<double>(rows);
  state.counters["GFLOP/s"] = gflop / best * 1e3;
  state.counters["of_peak"] = gflop / best * 1e3 / peak_gflops(1);
  state.counters["GB/s"] = static_cast<double>(m.size_bytes()) / best / 1e6;
}
BENCHMARK(product)
    ->ArgNames({"outputs", "taps", "depth", "rows"})
    ->Args({8 * 512, 2, 1024, 4})
    ->Args({8 * 512, 2, 1024, 64})
    ->Args({8 * 256, 2, 512, 32})
    ->Args({512, 1, 512, 32})
    ->Args({256, 1, 256, 256})
    ->Args({128, 1, 128, 1024})
    ->Args({64, 1, 64, 2048})
    ->Args({8 * 224, 2, 448, 4})
    ->Args({28, 1, 28, 2048})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace lyre

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  benchmark::AddCustomContext("peak GFLOP/s, 1 thread", std::to_string(lyre::peak_gflops(1)));
  benchmark::AddCustomContext("peak GFLOP/s, 2 threads", std::to_string(lyre::peak_gflops(2)));
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
