// Kernels of the CUDA language model one by one, each over as many different matrices as the model
// has layers, so that nothing comes from the cache: microseconds, GB/s and percent of the device's
// measured read bandwidth. Shapes of Orpheus 3B.
//
//   cuda_kernels_bench [CONTEXT]
#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lyre/base/cuda/device.h"
#include "lyre/base/cuda/gpus.h"
#include "lyre/base/cuda/memory.h"
#include "lyre/base/cuda/queue.h"
#include "lyre/lm/cuda/attention.h"
#include "lyre/lm/cuda/draw.h"
#include "lyre/lm/cuda/gemm.h"
#include "lyre/lm/cuda/rows.h"
#include "lyre/lm/cuda/streamed_matmul.h"

namespace {

using namespace lyre;        // NOLINT: a program
using namespace lyre::cuda;  // NOLINT

constexpr int kLayers = 28, kHidden = 3072, kHeads = 24, kKvHeads = 8, kHeadDim = 128, kFfn = 8192;
constexpr int kVocabulary = 156940, kCodebook = 4096, kFirstCode = 128266;
constexpr int kPitch = 156992;
constexpr int kMostRows = 256, kMaxPages = 16;
constexpr int kRepeats = 20;

template <class T>
T need(Result<T> result) {
  if (result.ok()) return *std::move(result);
  std::fprintf(stderr, "cuda_kernels_bench: %s\n", result.error().message.c_str());
  std::exit(1);
}

class KernelsBench {
 public:
  explicit KernelsBench(int context) : context_(context) {
    gpu_ = need(select_device(0));
    queue_ = std::make_unique<Queue>(need(Queue::create(Queue::Priority::kNormal)));
    bandwidth_ = need(measure_gpu_bandwidth(0)).read_bytes_per_second;
    need(prepare_streamed_matmul());
    need(prepare_attention());
    gemm_ = std::make_unique<Gemm>(need(Gemm::create()));
    std::printf("%s, read %.0f GB/s, context %d\n", gpu_.name.c_str(), bandwidth_ * 1e-9, context_);
    allocate();
  }

  void run() {
    for (const MatrixFormat format : {MatrixFormat::kBf16, MatrixFormat::kFp8}) {
      make_matrices(format);
      std::printf("\n%s\n%-12s %6s %10s %10s %8s\n", format == MatrixFormat::kBf16 ? "bf16" : "fp8",
                  "kernel", "rows", "us", "GB/s", "% read");
      for (const int rows : {1, 2, 4, 8}) streamed(rows);
      for (const int rows : {16, 32, 64, 128, 256}) by_library(rows);
    }
    for (const bool fp8 : {false, true}) {
      std::printf("\n%s keys and values\n", fp8 ? "fp8" : "bf16");
      for (const int rows : {1, 8, 16, 32, 64, 128, 256}) attention(rows, fp8);
    }
    std::printf("\n");
    make_matrices(MatrixFormat::kBf16);
    for (const int rows : {1, 8, 64, 256}) draw(rows);
    for (const int rows : {1, 8, 64, 256}) logits(rows);
    for (const int rows : {16, 64, 256}) logits_by_library(rows);
    for (const int rows : {1, 256}) others(rows);
  }

 private:
  DeviceMemory take(int64_t bytes) {
    DeviceMemory memory = need(DeviceMemory::allocate(bytes, "benchmark"));
    cudaMemset(memory.data(), 0x11, static_cast<size_t>(bytes));  // small normal numbers
    return memory;
  }

  void allocate() {
    hidden_ = take(int64_t{kMostRows} * kHidden * 4);
    weighted_ = take(int64_t{kMostRows} * kFfn * 2);
    sums_ = take(int64_t{kMostRows} * kHidden / 16 * 4);
    queries_ = take(int64_t{kMostRows} * kHeads * kHeadDim * 4);
    activations_ = take(int64_t{kMostRows} * kFfn * 2);
    products_ = take(int64_t{kMostRows} * 2 * kFfn * 4);
    quantized_ = take(int64_t{kMostRows} * kFfn);
    scales_ = take(kMostRows * 4);
    norm_ = take(kHidden * 4);
    angles_ = take(int64_t{kMaxPages} * kKvPageTokens * kHeadDim * 4);
    pool_ = take(int64_t{kMostRows} * kMaxPages * kKvPageTokens * 2 * kKvHeads * kHeadDim * 2);
    kv_scales_ = take(pool_.size_bytes() / 2 / kKvGroup * 2);
    output_ = take(int64_t{kVocabulary + 16} * kHidden * 2);
    logits_ = take(int64_t{kMostRows} * kPitch * 4);
    seen_ = take(int64_t{kMostRows} * ((kVocabulary + 31) / 32) * 4);
    fill_logits();
    draws_ = take(kMostRows * int64_t{sizeof(DeviceDraws)});
    std::vector<DeviceRow> rows;
    std::vector<DeviceHead> heads;
    std::vector<int32_t> pages;
    std::vector<DeviceSequence> sequences;
    for (int i = 0; i < kMostRows; ++i) {
      rows.push_back({i, context_ - 1, kFirstCode});
      heads.push_back({i, i});
      for (int page = 0; page < kMaxPages; ++page) pages.push_back(i * kMaxPages + page);
      DeviceSequence& s = sequences.emplace_back();
      s = {};
      s.length = 10;
      s.token = kFirstCode;
      s.drawn = i;
      s.max_tokens = 1 << 30;
      s.temperature = 0.6f;
      s.top_p = 0.9f;
      s.repetition_penalty = 1.1f;
      s.legal_slots = 1;
      s.first_code = kFirstCode;
      s.codebook_size = kCodebook;
      s.stop_count = 1;
      s.stop_ids[0] = kFirstCode - 8;
    }
    const auto upload = [this](const auto& values) {
      const auto bytes = static_cast<int64_t>(values.size() * sizeof(values[0]));
      DeviceMemory memory = take(bytes);
      cudaMemcpy(memory.data(), values.data(), static_cast<size_t>(bytes), cudaMemcpyHostToDevice);
      return memory;
    };
    rows_ = upload(rows);
    heads_ = upload(heads);
    pages_ = upload(pages);
    sequences_ = upload(sequences);
  }

  // All different: equals are the slow case of a draw.
  void fill_logits() {
    std::vector<float> values(static_cast<size_t>(kVocabulary));
    uint32_t state = 1;
    for (float& value : values) {
      state = state * 1664525u + 1013904223u;
      value = static_cast<float>(state >> 8) * 0x1p-22f;
    }
    for (int row = 0; row < kMostRows; ++row) {
      cudaMemcpy(logits_.as<float>() + int64_t{row} * kPitch, values.data(),
                 values.size() * sizeof(float), cudaMemcpyHostToDevice);
    }
  }

  static DeviceMatrix matrix(int rows, int columns, MatrixFormat format) {
    DeviceMatrix m;
    m.rows = rows;
    m.columns = columns;
    m.pitch = round_up(columns, kPadColumns);
    m.format = format;
    return m;
  }

  void make_matrices(MatrixFormat format) {
    layers_.clear();
    weights_ = DeviceMemory();
    const DeviceMatrix shapes[4] = {matrix((kHeads + 2 * kKvHeads) * kHeadDim, kHidden, format),
                                    matrix(kHidden, kHeads * kHeadDim, format),
                                    matrix(2 * kFfn, kHidden, format),
                                    matrix(kHidden, kFfn, format)};
    int64_t layer_bytes = 0;
    for (const DeviceMatrix& shape : shapes) layer_bytes += shape.size_bytes();
    weights_ = take(layer_bytes * kLayers);
    row_scales_ = take(2 * kFfn * 4);
    const char* at = weights_.as<char>();
    for (int layer = 0; layer < kLayers; ++layer) {
      std::vector<DeviceMatrix>& matrices = layers_.emplace_back();
      for (DeviceMatrix m : shapes) {
        m.data = at;
        at += m.size_bytes();
        if (format == MatrixFormat::kFp8) m.scales = row_scales_.as<float>();
        matrices.push_back(m);
      }
    }
  }

  KvLayer kv(bool fp8) const {
    KvLayer kv;
    kv.data = pool_.data();
    kv.scales = fp8 ? kv_scales_.data() : nullptr;
    kv.pages = pages_.as<int32_t>();
    kv.max_pages = kMaxPages;
    kv.kv_heads = kKvHeads;
    kv.head_dim = kHeadDim;
    return kv;
  }

  // Microseconds of one of the launches that put(layer) makes, over all layers.
  void measure(const std::string& name, int rows, int64_t bytes,
               const std::function<void(int layer)>& put) {
    const auto captured = Graph::capture(*queue_, [&](Queue&) {
      for (int layer = 0; layer < kLayers; ++layer) put(layer);
    });
    if (!captured.ok()) {
      std::printf("%-12s %6d %s\n", name.c_str(), rows, captured.error().message.c_str());
      std::exit(1);
    }
    cudaEvent_t begin, end;
    cudaEventCreate(&begin);
    cudaEventCreate(&end);
    captured->launch(*queue_);
    cudaEventRecord(begin, queue_->stream());
    for (int repeat = 0; repeat < kRepeats; ++repeat) captured->launch(*queue_);
    cudaEventRecord(end, queue_->stream());
    need(queue_->finish());
    float ms = 0;
    cudaEventElapsedTime(&ms, begin, end);
    cudaEventDestroy(begin);
    cudaEventDestroy(end);
    const double us = 1e3 * static_cast<double>(ms) / (kRepeats * kLayers);
    const double rate = static_cast<double>(bytes) / us * 1e-3;
    std::printf("%-12s %6d %10.2f %10.0f %8.1f\n", name.c_str(), rows, us, rate,
                1e11 * rate / bandwidth_);
  }

  StreamedInput plain(const DeviceMemory& values, int rows, int pitch, MatrixFormat format) const {
    return {need(streamed_tiles(values.data(), kMostRows, pitch, rows, format)),
            nullptr,
            0,
            0,
            0,
            rows};
  }

  void streamed(int rows) {
    const ResidualStream stream = {hidden_.as<float>(), weighted_.data(), sums_.as<float>(),
                                   kHidden, kHidden};
    const MatrixFormat format = layers_[0][0].format;
    StreamedInput normed = plain(weighted_, rows, kHidden, format);
    normed.square_sums = sums_.as<float>();
    normed.parts = stream.parts();
    normed.hidden = kHidden;
    normed.epsilon = 1e-5f;
    const StreamedInput attended = plain(activations_, rows, kHidden, format);
    const StreamedInput activated = plain(activations_, rows, kFfn, format);
    const QkvOutlet outlet = {rows_.as<DeviceRow>(),
                              angles_.as<float>(),
                              angles_.as<float>(),
                              queries_.as<float>(),
                              kHeads,
                              kv(false)};
    const auto bytes = [this](int m) { return layers_[0][static_cast<size_t>(m)].size_bytes(); };
    const auto at = [this](int layer, size_t m) {
      return need(streamed_weights(layers_[static_cast<size_t>(layer)][m]));
    };
    measure("qkv", rows, bytes(0),
            [&](int layer) { streamed_qkv(*queue_, at(layer, 0), normed, outlet); });
    measure("output", rows, bytes(1), [&](int layer) {
      streamed_residual(*queue_, "output", at(layer, 1), attended, stream, norm_.as<float>());
    });
    measure("gate_up", rows, bytes(2), [&](int layer) {
      streamed_gate_up(*queue_, at(layer, 2), normed, activations_.data(), kFfn);
    });
    measure("down", rows, bytes(3), [&](int layer) {
      streamed_residual(*queue_, "down", at(layer, 3), activated, stream, norm_.as<float>());
    });
    const auto layer_products = [&](int layer, bool with_attention) {
      streamed_qkv(*queue_, at(layer, 0), normed, outlet);
      if (with_attention) put_attention(rows, false);
      streamed_residual(*queue_, "output", at(layer, 1), attended, stream, norm_.as<float>());
      streamed_gate_up(*queue_, at(layer, 2), normed, activations_.data(), kFfn);
      streamed_residual(*queue_, "down", at(layer, 3), activated, stream, norm_.as<float>());
    };
    const int64_t all = bytes(0) + bytes(1) + bytes(2) + bytes(3);
    measure("four", rows, all, [&](int layer) { layer_products(layer, false); });
    measure("layer", rows, all + kv_bytes(rows, false),
            [&](int layer) { layer_products(layer, true); });
  }

  void by_library(int rows) {
    struct Product {
      const char* name;
      size_t matrix;
      Gemm::Out out;
      int ld;
    };
    for (const Product& p : {Product{"qkv", 0, Gemm::Out::kF32, 5120},
                             Product{"output", 1, Gemm::Out::kAddF32, kHidden},
                             Product{"gate_up", 2, Gemm::Out::kBf16, 2 * kFfn},
                             Product{"down", 3, Gemm::Out::kAddF32, kHidden}}) {
      const DeviceMatrix& first = layers_[0][p.matrix];
      need(gemm_->prepare(first, rows, p.out, p.ld));
      measure(p.name, rows, first.size_bytes(), [&](int layer) {
        gemm_->run(*queue_, p.name, layers_[static_cast<size_t>(layer)][p.matrix],
                   first.format == MatrixFormat::kFp8 ? quantized_.data() : activations_.data(),
                   scales_.as<float>(), rows, p.out, products_.data(), p.ld);
      });
    }
  }

  int64_t kv_bytes(int rows, bool fp8) const {
    return int64_t{rows} * context_ * 2 * kKvHeads * kHeadDim * (fp8 ? 9 : 16) / 8;
  }

  void put_attention(int rows, bool fp8, int splits = 0) {
    AttentionTask task;
    task.rows = rows_.as<DeviceRow>();
    task.count = rows;
    task.queries = queries_.as<float>();
    task.heads = kHeads;
    task.kv = kv(fp8);
    task.out = activations_.data();
    task.out_pitch = kHidden;
    task.splits = splits > 0 ? splits : rows <= 8 ? 8 : rows <= 16 ? 4 : rows <= 32 ? 2 : 1;
    attend(*queue_, task, context_);
  }

  void attention(int rows, bool fp8) {
    for (const int splits : {1, 2, 4, 8}) {
      measure("split " + std::to_string(splits), rows, kv_bytes(rows, fp8),
              [&](int) { put_attention(rows, fp8, splits); });
    }
  }

  void logits(int rows) {
    DeviceMatrix output = matrix(kVocabulary, kHidden, MatrixFormat::kBf16);
    output.data = output_.data();
    const LogitsTask task = {heads_.as<DeviceHead>(), rows,        sequences_.as<DeviceSequence>(),
                             logits_.as<float>(),     kVocabulary, false};
    const int64_t bytes = int64_t{std::min(rows, 7)} * kCodebook * kHidden * 2;
    const StreamedWeights weights = need(streamed_weights(output));
    const StreamedInput input = plain(weighted_, 1, kHidden, MatrixFormat::kBf16);
    measure("logits", rows, bytes, [&](int) { legal_logits(*queue_, weights, input, task); });
  }

  void logits_by_library(int rows) {
    constexpr int kFirst = kFirstCode / 64 * 64 - 64;
    DeviceMatrix codes = matrix(kFirstCode + 7 * kCodebook - kFirst, kHidden, MatrixFormat::kBf16);
    codes.data = output_.as<char>() + int64_t{kFirst} * kHidden * 2;
    need(gemm_->prepare(codes, rows, Gemm::Out::kF32, kPitch));
    measure("logits_lib", rows, codes.size_bytes(), [&](int) {
      gemm_->run(*queue_, "logits", codes, weighted_.data(), nullptr, rows, Gemm::Out::kF32,
                 logits_.as<float>() + kFirst, kPitch);
    });
  }

  void draw(int rows) {
    const DrawTask task = {heads_.as<DeviceHead>(),
                           rows,
                           sequences_.as<DeviceSequence>(),
                           seen_.as<uint32_t>(),
                           (kVocabulary + 31) / 32,
                           logits_.as<float>(),
                           kPitch,
                           kVocabulary,
                           draws_.as<DeviceDraws>()};
    measure("draw", rows, 0, [&](int) {
      queue_->fill_bytes(draws_.data(), 0, draws_.size_bytes());
      draw_tokens(*queue_, task);
    });
  }

  void others(int rows) {
    const ResidualStream stream = {hidden_.as<float>(), weighted_.data(), sums_.as<float>(),
                                   kHidden, kHidden};
    measure("normalise", rows, 0,
            [&](int) { normalise(*queue_, stream, rows, norm_.as<float>(), 1e-5f); });
    measure("gate", rows, 0, [&](int) {
      multiply_gate(*queue_, products_.data(), 2 * kFfn, rows, activations_.data(), kFfn);
    });
    measure("put_qkv", rows, 0, [&](int) {
      distribute_qkv(*queue_, products_.as<float>(), 5120, rows,
                     {rows_.as<DeviceRow>(), angles_.as<float>(), angles_.as<float>(),
                      queries_.as<float>(), kHeads, kv(false)});
    });
    measure("quantise", rows, 0, [&](int) {
      quantize_rows(*queue_, activations_.data(), kHidden, rows, quantized_.data(),
                    scales_.as<float>());
    });
  }

  int context_;
  Gpu gpu_;
  std::unique_ptr<Queue> queue_;
  std::unique_ptr<Gemm> gemm_;
  double bandwidth_ = 0;
  std::vector<std::vector<DeviceMatrix>> layers_;
  DeviceMemory weights_, row_scales_, hidden_, weighted_, sums_, queries_, activations_, products_,
      quantized_, scales_, norm_, angles_, pool_, kv_scales_, output_, logits_, seen_, draws_,
      rows_, heads_, pages_, sequences_;
};

}  // namespace

int main(int count, char** words) {
  KernelsBench bench(count > 1 ? std::atoi(words[1]) : 600);
  bench.run();
  return 0;
}
