// The products that the CPU language model consists of and the sampler, one thread, beside what
// this core can do: reading memory and multiplying in registers, measured in turns with them in the
// same run. The best of many short samples, so that other work on the machine hardly counts. JSON
// on standard output.
//
//     lm_kernels_bench [--ms 300] [--simd best|avx2|baseline] [--pages huge|small] [--threads 1]
//
// Small pages are what a mapped file has.

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string_view>
#include <vector>

#include "lyre/base/check.h"
#include "lyre/base/philox.h"
#include "lyre/base/thread_pool.h"
#include "lyre/lm/cpu/matmul.h"
#include "lyre/lm/cpu/simd_target.h"
#include "lyre/lm/draw_token.h"

namespace lyre {
namespace {

using cpu::MatrixType;
using cpu::WeightMatrix;

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Memory filled with small bf16, fp16 or int8 numbers, far larger than any cache.
std::span<std::byte> stream_memory(bool huge_pages) {
  constexpr size_t kBytes = size_t{1} << 30;
  void* data = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  LYRE_CHECK(data != MAP_FAILED);
  ::madvise(data, kBytes, huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  auto* words = static_cast<uint16_t*>(data);
  uint32_t state = 1;
  for (size_t i = 0; i < kBytes / 2; ++i) {
    state = state * 1664525 + 1013904223;
    words[i] = static_cast<uint16_t>(0x3C00 + (state >> 22) + (state >> 16 & 0x8000));
  }
  return {static_cast<std::byte*>(data), kBytes};
}

uint64_t sum_bytes(std::span<const std::byte> bytes) {
  const auto* words = reinterpret_cast<const uint64_t*>(bytes.data());
  uint64_t lanes[16] = {};
  for (size_t i = 0; i < bytes.size() / 8; i += 16) {
    for (size_t l = 0; l < 16; ++l) lanes[l] += words[i + l];
  }
  uint64_t sum = 0;
  for (const uint64_t lane : lanes) sum += lane;
  return sum;
}

struct Case {
  const char* name;
  MatrixType type;
  int64_t rows, columns, tokens;
  bool from_memory;  // a fresh part of memory for every sample, or the same all the time
};

class KernelBench {
 public:
  KernelBench(ThreadPool& threads, double seconds, bool huge_pages)
      : threads_(threads), seconds_(seconds), memory_(stream_memory(huge_pages)) {}

  void run(const Case& c) {
    const int64_t element = c.type == MatrixType::kF32 ? 4 : c.type == MatrixType::kInt8 ? 1 : 2;
    const int64_t bytes = c.rows * c.columns * element;
    const int64_t scale_bytes =
        c.type == MatrixType::kInt8 ? c.rows * cpu::quant_groups(c.columns) * 4 : 0;
    std::vector<float> x(static_cast<size_t>(c.tokens * c.columns), 0.5f);
    std::vector<float> out(static_cast<size_t>(c.tokens * c.rows));
    double best = 1e30, best_read = 1e30;
    size_t at = 0, scale_at = 0;
    const auto next = [&] {
      if (c.from_memory) at += static_cast<size_t>(bytes);
      if (at + static_cast<size_t>(bytes) > memory_.size()) at = 0;
      return memory_.subspan(at, static_cast<size_t>(bytes));
    };
    for (const double end = now_s() + seconds_; now_s() < end;) {
      // Scales are a stream of their own.
      if (c.from_memory) scale_at += static_cast<size_t>(scale_bytes / 4);
      if (scale_at + static_cast<size_t>(scale_bytes / 4) > scales_.size()) scale_at = 0;
      const WeightMatrix w = {next().data(), &scales_[scale_at], c.rows, c.columns, c.type};
      double begin = now_s();
      threads_.deal(static_cast<int>((c.rows + 63) / 64), [&](int panel, int /*thread*/) {
        const int64_t row = int64_t{panel} * 64, last = std::min(c.rows, row + 64);
        cpu::matmul(w, row, last, x.data(), c.columns, c.tokens, &out[static_cast<size_t>(row)],
                    c.rows);
      });
      best = std::min(best, now_s() - begin);
      const auto part = next();
      begin = now_s();
      threads_.deal(16, [&](int slice, int /*thread*/) {
        const size_t size = part.size() / 16 / 128 * 128;
        sum_ += sum_bytes(part.subspan(static_cast<size_t>(slice) * size, size));
      });
      best_read = std::min(best_read, now_s() - begin);
    }
    const double gb = static_cast<double>(bytes + scale_bytes) / 1e9;
    const double gmac = static_cast<double>(c.rows * c.columns * c.tokens) / 1e9;
    std::printf(
        "  {\"kernel\": \"%s\", \"rows\": %lld, \"columns\": %lld, \"tokens\": %lld, "
        "\"from\": \"%s\", \"us\": %.1f, \"gb_per_s\": %.1f, \"read_gb_per_s\": %.1f, "
        "\"percent\": %.0f, \"gmac_per_s\": %.1f}%s\n",
        c.name, static_cast<long long>(c.rows), static_cast<long long>(c.columns),
        static_cast<long long>(c.tokens), c.from_memory ? "memory" : "cache", 1e6 * best, gb / best,
        static_cast<double>(bytes) / 1e9 / best_read,
        100 * gb / best * best_read * 1e9 / static_cast<double>(bytes), gmac / best, ",");
    std::fflush(stdout);
  }

  void draw(int64_t candidates, float temperature, float top_p, int top_k) {
    std::vector<float> logits(static_cast<size_t>(candidates));
    for (size_t i = 0; i < logits.size(); ++i) {
      logits[i] = 3 * normal_from_bits(static_cast<uint32_t>(i * 2654435761u), 77)[0];
    }
    SamplingParams params;
    params.temperature = temperature;
    params.top_p = top_p;
    params.top_k = top_k;
    const TokenRange all = {0, static_cast<TokenId>(candidates)};
    TokenSet seen(static_cast<int>(candidates));
    for (TokenId token = 0; token < all.end; token += 3) seen.insert(token);
    DrawScratch scratch(static_cast<int>(candidates));
    double best = 1e30;
    int64_t position = 0;
    for (const double end = now_s() + seconds_; now_s() < end; ++position) {
      const double begin = now_s();
      sum_ +=
          static_cast<uint64_t>(draw_token(params, logits, {&all, 1}, &seen, position, scratch));
      best = std::min(best, now_s() - begin);
    }
    std::printf(
        "  {\"kernel\": \"draw\", \"candidates\": %lld, \"temperature\": %.1f, \"top_p\": %.2f, "
        "\"top_k\": %d, \"us\": %.1f},\n",
        static_cast<long long>(candidates), temperature, top_p, top_k, 1e6 * best);
  }

  uint64_t sum() const { return sum_; }

 private:
  ThreadPool& threads_;
  const double seconds_;
  std::span<std::byte> memory_;
  std::vector<float> scales_ = std::vector<float>(size_t{1} << 25, 0.01f);  // 128 MiB
  std::atomic<uint64_t> sum_{0};  // keeps the reads from being optimised away
};

}  // namespace
}  // namespace lyre

int main(int count, char** words) {
  using lyre::MatrixType;
  double seconds = 0.3;
  bool huge_pages = true;
  int threads = 1;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view flag = words[i], value = words[i + 1];
    if (flag == "--ms") seconds = std::atof(words[i + 1]) / 1e3;
    if (flag == "--threads") threads = std::atoi(words[i + 1]);
    if (flag == "--pages") huge_pages = value == "huge";
    if (flag == "--simd" && value == "avx2") lyre::cpu::limit_simd(lyre::cpu::SimdLevel::kAvx2);
    if (flag == "--simd" && value == "baseline") {
      lyre::cpu::limit_simd(lyre::cpu::SimdLevel::kBaseline);
    }
  }
  lyre::ThreadPool pool(threads);
  lyre::KernelBench bench(pool, seconds, huge_pages);
  std::printf(
      "{\"bench\": \"lm_kernels\", \"simd\": \"%s\", \"pages\": \"%s\", \"threads\": %d, "
      "\"results\": [\n",
      lyre::cpu::simd_target().c_str(), huge_pages ? "huge" : "small", threads);
  for (const auto& [name, type] : {std::pair{"bf16", MatrixType::kBF16},
                                   {"f16", MatrixType::kF16},
                                   {"int8", MatrixType::kInt8}}) {
    // One token from memory: decoding with a large model. From the caches: the demo voice.
    bench.run({name, type, 1024, 3072, 1, true});
    bench.run({name, type, 512, 8192, 1, true});
    bench.run({name, type, 768, 256, 1, false});
    bench.run({name, type, 256, 768, 1, false});
    for (const int64_t tokens : {2, 4, 8, 16}) bench.run({name, type, 1024, 3072, tokens, true});
    for (const int64_t tokens : {30, 256}) {
      bench.run({name, type, 256, 3072, tokens, true});
      bench.run({name, type, 768, 256, tokens, false});
    }
  }
  for (const int64_t candidates : {1025, 7696, 156940}) {
    bench.draw(candidates, 0.6f, 0.9f, 0);
    bench.draw(candidates, 1.0f, 1.0f, 50);
    bench.draw(candidates, 0.0f, 1.0f, 0);
  }
  std::printf("  {\"checksum\": %llu}\n]}\n", static_cast<unsigned long long>(bench.sum()));
  return 0;
}
