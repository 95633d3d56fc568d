// Decode and prefill speed of the CPU language model beside the memory bandwidth that this machine
// gives the same threads in the same run. One JSON object on standard output.
//
//     lm_bench --model voices/demo/lm [--weights int8] [--cache FOLDER] [--threads 2]
//              [--batches 1,2,4,8,16]
//
// Times are of LanguageModel::step() alone: loading, tokenising and the codec are not in them. A
// step's bytes are computed: the matrices of all layers, the rows of the output matrix that the
// step's slots name, and the keys and values of the context.

#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "lyre/base/check.h"
#include "lyre/base/thread_pool.h"
#include "lyre/lm/open_language_model.h"

namespace lyre {
namespace {

struct Arguments {
  std::filesystem::path model = "voices/demo/lm";
  WeightFormat weights = WeightFormat::kAsStored;
  std::filesystem::path cache;
  int threads = 0;
  std::vector<int> batches = {1, 2, 4, 8, 16};
  std::vector<int> prompts = {30, 256};
  int steps = 64;
  int context = 300;                  // tokens before the first timed step
  int first_code = -1, codebook = 0;  // -1: the last seven equal parts of the vocabulary
  bool legal_slots = true;
};

std::vector<int> numbers(std::string_view list) {
  std::vector<int> values;
  for (size_t at = 0; at < list.size();) {
    const size_t comma = std::min(list.find(',', at), list.size());
    values.push_back(std::atoi(std::string(list.substr(at, comma - at)).c_str()));
    at = comma + 1;
  }
  return values;
}

Arguments parse(int count, char** words) {
  Arguments arguments;
  for (int i = 1; i + 1 < count; i += 2) {
    const std::string_view flag = words[i], value = words[i + 1];
    if (flag == "--model")
      arguments.model = value;
    else if (flag == "--weights" && value == "int8")
      arguments.weights = WeightFormat::kInt8;
    else if (flag == "--weights" && value == "stored")
      arguments.weights = WeightFormat::kAsStored;
    else if (flag == "--cache")
      arguments.cache = value;
    else if (flag == "--threads")
      arguments.threads = numbers(value).at(0);
    else if (flag == "--batches")
      arguments.batches = numbers(value);
    else if (flag == "--prompts")
      arguments.prompts = numbers(value);
    else if (flag == "--steps")
      arguments.steps = numbers(value).at(0);
    else if (flag == "--context")
      arguments.context = numbers(value).at(0);
    else if (flag == "--first-code")
      arguments.first_code = numbers(value).at(0);
    else if (flag == "--codebook")
      arguments.codebook = numbers(value).at(0);
    else if (flag == "--legal-slots")
      arguments.legal_slots = value == "1";
    else
      std::fprintf(stderr, "lm_bench: unknown: %s %s\n", words[i], words[i + 1]), std::exit(2);
  }
  return arguments;
}

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Sorted in place.
double quantile(std::vector<double>& times, double q) {
  std::sort(times.begin(), times.end());
  return times[static_cast<size_t>(q * static_cast<double>(times.size() - 1))];
}

// Reading 1 GiB in huge pages, each thread its part: the ceiling for everything that streams.
class ReadBandwidth {
 public:
  ReadBandwidth() {
    void* data =
        ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    LYRE_CHECK(data != MAP_FAILED);
    ::madvise(data, kBytes, MADV_HUGEPAGE);
    words_ = {static_cast<uint64_t*>(data), kBytes / sizeof(uint64_t)};
    for (size_t i = 0; i < words_.size(); ++i) words_[i] = i;
  }
  ~ReadBandwidth() { ::munmap(words_.data(), kBytes); }

  /// Best of `rounds`.
  double measure_gb_per_s(ThreadPool& threads, int rounds) {
    double best = 0;
    for (int round = 0; round < rounds; ++round) {
      std::vector<uint64_t> sums(static_cast<size_t>(threads.size()) * 8);
      const double start = now_s();
      threads.run([&](int thread) {
        const auto range = threads.split(static_cast<int64_t>(words_.size()), 512, thread);
        uint64_t lanes[16] = {};
        for (int64_t i = range.begin; i < range.end; i += 16) {
          for (int64_t l = 0; l < 16; ++l) lanes[l] += words_[static_cast<size_t>(i + l)];
        }
        for (const uint64_t lane : lanes) sums[static_cast<size_t>(thread) * 8] += lane;
      });
      best = std::max(best, static_cast<double>(kBytes) / (now_s() - start) / 1e9);
      LYRE_CHECK(sums[0] != 1);
    }
    return best;
  }

 private:
  static constexpr size_t kBytes = size_t{1} << 30;
  std::span<uint64_t> words_;
};

class LmBench {
 public:
  LmBench(const Arguments& arguments, ThreadPool& threads)
      : arguments_(arguments), threads_(threads) {
    LanguageModelOptions options;
    options.folder = arguments.model;
    options.weights = arguments.weights;
    options.cache_folder = arguments.cache;
    options.max_sequences = *std::max_element(arguments.batches.begin(), arguments.batches.end());
    options.max_sequence_tokens = std::max(1024, arguments.context + arguments.steps + 8);
    const double start = now_s();
    auto model = open_language_model(options, threads);
    if (!model) std::fprintf(stderr, "lm_bench: %s\n", model.error().message.c_str()), std::exit(1);
    model_ = *std::move(model);
    open_s_ = now_s() - start;
    layout_.codebook_size = arguments.codebook > 0 ? arguments.codebook : info().vocabulary / 8;
    layout_.first_code = arguments.first_code >= 0
                             ? arguments.first_code
                             : info().vocabulary - CodeLayout::kSlots * layout_.codebook_size;
  }

  const LanguageModelInfo& info() const { return model_->info(); }

  void run() {
    std::printf("{\"bench\": \"lm\", \"model\": \"%s\", \"backend\": \"%s\", \"threads\": %d,\n",
                arguments_.model.c_str(), info().backend.c_str(), threads_.size());
    std::printf(" \"weights\": \"%s\", \"parameters\": %lld, \"weight_bytes\": %lld,\n",
                info().weights.c_str(), static_cast<long long>(info().parameters),
                static_cast<long long>(info().weight_bytes));
    std::printf(" \"legal_slots\": %s, \"open_s\": %.3f,\n",
                arguments_.legal_slots ? "true" : "false", open_s_);
    std::vector<std::string> lines;
    for (const int batch : arguments_.batches) lines.push_back(decode(batch));
    for (const int prompt : arguments_.prompts) lines.push_back(prefill(prompt));
    std::printf(" \"results\": [\n");
    for (size_t i = 0; i < lines.size(); ++i) {
      std::printf("  %s%s\n", lines[i].c_str(), i + 1 < lines.size() ? "," : "");
    }
    std::printf(" ]}\n");
  }

 private:
  std::vector<TokenId> prompt(int tokens) const {
    std::vector<TokenId> ids;
    for (int i = 0; i < tokens; ++i) ids.push_back((i * 7919 + 13) % info().vocabulary);
    return ids;
  }

  SequenceId open_sequence(uint64_t seed, int max_tokens) {
    SequenceOptions options;
    options.sampling.seed = seed;
    options.sampling.legal_slots = arguments_.legal_slots;
    options.layout = layout_;
    options.max_tokens = max_tokens;
    auto id = model_->open(options);
    LYRE_CHECK(id.ok());
    return *id;
  }

  double step_bytes(int batch, double context) const {
    const LanguageModelInfo& i = info();
    const double per_weight =
        static_cast<double>(i.weight_bytes) / static_cast<double>(i.parameters);
    const double rows = 2.0 * (i.heads + i.kv_heads) * i.head_dim + 3.0 * i.ffn;
    const double head = arguments_.legal_slots ? layout_.codebook_size : i.vocabulary;
    return per_weight * i.hidden * (i.layers * rows + head) +
           batch * context * static_cast<double>(i.kv_bytes_per_token);
  }

  std::string decode(int batch) {
    const int most = arguments_.context + arguments_.steps + 8;
    std::vector<SequenceId> ids;
    std::vector<Slice> slices;
    std::vector<SliceResult> results(static_cast<size_t>(batch));
    const std::vector<TokenId> start = prompt(arguments_.context);
    for (int i = 0; i < batch; ++i) {
      ids.push_back(open_sequence(static_cast<uint64_t>(i), most));
      for (std::span<const TokenId> left = start; !left.empty();) {
        const size_t chunk = std::min<size_t>(left.size(), 256);
        const Slice slice = {ids.back(), left.first(chunk), chunk == left.size() ? 1 : 0};
        LYRE_CHECK(model_->step({&slice, 1}, {results.data(), 1}).ok());
        left = left.subspan(chunk);
      }
      slices.push_back({ids.back(), {}, 1});
    }
    // Before and after: what the machine gives changes with what else runs on it.
    const double before = bandwidth_.measure_gb_per_s(threads_, 3);
    std::vector<double> times;
    for (int step = 0; step < arguments_.steps; ++step) {
      const double begin = now_s();
      LYRE_CHECK(model_->step(slices, results).ok());
      times.push_back(now_s() - begin);
      LYRE_CHECK(results[0].count == 1);
    }
    for (const SequenceId id : ids) model_->close(id);
    const double best = quantile(times, 0), median = quantile(times, 0.5);
    const double bytes = step_bytes(batch, arguments_.context + arguments_.steps / 2.0);
    const double peak = std::max(before, bandwidth_.measure_gb_per_s(threads_, 3));
    char line[400];
    std::snprintf(line, sizeof(line),
                  "{\"name\": \"decode\", \"batch\": %d, \"ms_min\": %.4f, \"ms_p50\": %.4f, "
                  "\"ms_p90\": %.4f, \"tokens_per_s\": %.1f, \"bytes\": %.0f, \"gb_per_s\": %.2f, "
                  "\"gb_per_s_best\": %.2f, \"read_gb_per_s\": %.1f, "
                  "\"percent_of_read_bandwidth\": %.1f, "
                  "\"percent_best\": %.1f}",
                  batch, 1e3 * best, 1e3 * median, 1e3 * quantile(times, 0.9), batch / median,
                  bytes, bytes / median / 1e9, bytes / best / 1e9, peak,
                  bytes / median / 1e7 / peak, bytes / best / 1e7 / peak);
    return line;
  }

  std::string prefill(int tokens) {
    const std::vector<TokenId> ids = prompt(tokens);
    std::vector<double> times;
    const double begin_all = now_s();
    while (times.size() < 3 || (times.size() < 30 && now_s() - begin_all < 2)) {
      const SequenceId id = open_sequence(1, tokens + 8);
      const Slice slice = {id, ids, 1};
      SliceResult result;
      const double begin = now_s();
      LYRE_CHECK(model_->step({&slice, 1}, {&result, 1}).ok());
      times.push_back(now_s() - begin);
      model_->close(id);
    }
    const LanguageModelInfo& i = info();
    const double macs = static_cast<double>(tokens) * i.layers * i.hidden *
                        (2.0 * (i.heads + i.kv_heads) * i.head_dim + 3.0 * i.ffn);
    const double best = quantile(times, 0), median = quantile(times, 0.5);
    char line[300];
    std::snprintf(line, sizeof(line),
                  "{\"name\": \"prefill\", \"tokens\": %d, \"ms_min\": %.3f, \"ms_p50\": %.3f, "
                  "\"tokens_per_s\": %.1f, \"gmac_per_s_best\": %.1f}",
                  tokens, 1e3 * best, 1e3 * median, tokens / median, macs / best / 1e9);
    return line;
  }

  Arguments arguments_;
  ThreadPool& threads_;
  std::unique_ptr<LanguageModel> model_;
  CodeLayout layout_;
  double open_s_ = 0;
  ReadBandwidth bandwidth_;
};

}  // namespace
}  // namespace lyre

int main(int count, char** words) {
  const lyre::Arguments arguments = lyre::parse(count, words);
  lyre::ThreadPool threads(arguments.threads);
  lyre::LmBench(arguments, threads).run();
  return 0;
}
